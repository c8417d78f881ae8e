"""Variational autoencoders: the printed networks, both losses, the fitted prior, and that they learn."""

import math
from itertools import pairwise

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributions import Normal, kl_divergence

from genshift import presets
from genshift.data.feed import Batch, PixelNormalization, StepRandom
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.methods import vae
from genshift.methods.mixture import Mixture, fit_mixture
from genshift.methods.schedules import Progress
from genshift.methods.vae import VAEMethod
from genshift.nets.vae import Decoder, Encoder, ResidualDecoder, ResidualEncoder, _FromPoint, _ToPoint, build_vae

UNIT = PixelNormalization(0.0, 1.0)
BFLOAT16 = tiny.Arithmetic(torch.device("cpu"), "bfloat16", "for a test")


# --- the printed networks --------------------------------------------------------------------------------------------

KERNEL = "kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))"


def printed_block(number, kind, layer, channels, activation):
    """A block of the report, line for line, at its place in a Sequential."""
    norm = f"{channels}, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"
    return [
        f"    ({number}): {kind}(",
        "      (block): Sequential(",
        f"        (0): {layer}",
        f"        (1): BatchNorm2d({norm}",
        f"        (2): {activation}",
        "      )",
        "    )",
    ]


def test_the_encoder_prints_as_in_the_report():
    lines = ["Encoder(", "  (encode): Sequential("]
    for i, (a, b) in enumerate(pairwise((3, 64, 128, 256, 512, 1024, 2048))):
        layer = f"Conv2d({a}, {b}, {KERNEL}"
        lines += printed_block(i, "Conv_Block", layer, b, "LeakyReLU(negative_slope=0.2, inplace=True)")
    linear = "Linear(in_features=2048, out_features=128, bias=True)"
    lines += ["  )", f"  (meanGen): {linear}", f"  (logvarGen): {linear}", ")"]
    assert str(Encoder()) == "\n".join(lines)


def test_the_decoder_prints_as_in_the_report():
    norm = "BatchNorm1d(2048, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"
    lines = [
        "Decoder(",
        "  (preprocess): Sequential(",
        "    (0): Linear(in_features=128, out_features=2048, bias=True)",
    ]
    lines += [f"    (1): {norm}", "    (2): ReLU(inplace=True)", "  )", "  (decode): Sequential("]
    for i, (a, b) in enumerate(pairwise((2048, 1024, 512, 256, 128, 64))):
        layer = f"ConvTranspose2d({a}, {b}, {KERNEL}"
        lines += printed_block(i, "Tran_Block", layer, b, "ReLU(inplace=True)")
    lines += [f"    (5): ConvTranspose2d(64, 3, {KERNEL}", "    (6): Tanh()", "  )", ")"]
    assert str(Decoder()) == "\n".join(lines)


def test_the_centre_of_the_kernel_is_the_whole_convolution():
    """hw3's two layers between 2×2 and 1×1 against torch's with all 4×4 weights: values, gradients, and no gradient
    outside the centre."""
    torch.manual_seed(0)
    for ours, theirs, side in (
        (_ToPoint(3, 5), nn.Conv2d(3, 5, 4, 2, 1), 2),
        (_FromPoint(3, 5), nn.ConvTranspose2d(3, 5, 4, 2, 1), 1),
    ):
        ours, theirs = ours.double(), theirs.double()
        flat = theirs.weight.detach()[:, :, 1:3, 1:3].flatten(1)
        ours.weight.data = flat if side == 2 else flat.t()
        ours.bias.data = theirs.bias.detach().clone()
        x = torch.randn(4, 3, side, side, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x))
        for net in (ours, theirs):
            net(x).pow(3).sum().backward()
        centre = theirs.weight.grad[:, :, 1:3, 1:3].flatten(1)
        torch.testing.assert_close(ours.weight.grad, centre if side == 2 else centre.t())
        torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
        assert theirs.weight.grad.abs().sum() == centre.abs().sum()


def test_the_centre_starts_as_the_printed_layer_does():
    torch.manual_seed(3)
    ours = _FromPoint(6, 4)
    torch.manual_seed(3)
    theirs = nn.ConvTranspose2d(6, 4, 4, 2, 1)
    assert torch.equal(ours.weight, theirs.weight[:, :, 1:3, 1:3].flatten(1).t())
    assert torch.equal(ours.bias, theirs.bias)


def test_shapes_of_the_printed_networks():
    mean, logvar = Encoder().eval()(torch.rand(2, 3, 64, 64))
    assert mean.shape == logvar.shape == (2, 128)
    y = Decoder().eval()(mean)
    assert y.shape == (2, 3, 64, 64) and y.abs().max() <= 1


# --- networks of any size --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "channels", "classes"), [(16, 1, 0), (32, 3, 4), (64, 1, 0), (128, 3, 0)])
def test_shapes_of_the_residual_networks(size, channels, classes):
    encoder, decoder = ResidualEncoder(size, channels, 6, 2), ResidualDecoder(size, channels, 6, 2, classes)
    mean, logvar = encoder(torch.rand(3, channels, size, size))
    assert mean.shape == logvar.shape == (3, 6)
    labels = torch.tensor([0, 1, 3]) if classes else None
    assert decoder(mean, labels).shape == (3, channels, size, size)


def test_the_class_changes_the_picture():
    decoder = ResidualDecoder(16, 1, 4, 2, classes=3).eval()
    z = torch.randn(1, 4).repeat(2, 1)
    one, other = decoder(z, torch.tensor([0, 1]))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(("name", "size"), [("faces-vae", 48), ("faces-vae", 8), ("hw3-vae", 32)])
def test_a_size_that_the_networks_cannot_take_is_refused(name, size):
    with pytest.raises(Refusal, match=f"not {size}: give --size 64"):
        build_vae(presets.get(name).replaced(size=size), 0)


def test_the_printed_networks_take_no_classes():
    with pytest.raises(Refusal, match="take no classes"):
        build_vae(presets.get("hw3-vae"), 3)


def test_grey_pictures_have_one_channel():
    nets = build_vae(presets.get("faces-vae").replaced(colour="grey", size=16, width=2), 0)
    assert nets["decoder"](nets["encoder"](torch.rand(2, 1, 16, 16))[0]).shape == (2, 1, 16, 16)


# --- losses ----------------------------------------------------------------------------------------------------------


def method_of(name="faces-vae", classes=0, arithmetic=tiny.FLOAT32, **changes):
    """A small method; for hw3's losses the small networks stand in for its own."""
    changes = {"size": 16, "latent": 4, "batch": 4, "components": 2, **changes}
    preset = presets.get(name).replaced(**changes)
    torch.manual_seed(0)
    shape = (preset.size, 3, preset.latent, 2)
    nets = {"encoder": ResidualEncoder(*shape), "decoder": ResidualDecoder(*shape, classes)}
    for net in nets.values():
        net.to(dtype=arithmetic.dtype)
    return VAEMethod(preset, nets, classes, UNIT, arithmetic)


def batch_of(count=4, size=16, start=0, labels=None):
    torch.manual_seed(start)
    return {"data": Batch(torch.rand(count, 3, size, size), labels, StepRandom(0, start, count))}


@pytest.mark.parametrize(("mse", "expected"), [(0.02, 1e-5), (0.015, 1e-5), (0.0149, 1e-5 / 0.0149**2), (0.01, 0.1)])
def test_hw3s_lambda_on_both_sides_of_its_threshold(mse, expected):
    assert vae.hw3_lambda(torch.tensor(mse, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("error", [0.2, 0.05])
def test_hw3s_loss_against_the_same_in_numpy(error):
    """The mean squared error 0.04 is above the threshold, 0.0025 below it."""
    method, rng = method_of("hw3-vae"), np.random.default_rng(0)
    x, mean, logvar = rng.random((4, 3, 16, 16)), rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
    y = x + error * np.where(rng.random(x.shape) < 0.5, -1, 1)
    mse, kl = np.mean((y - x) ** 2), np.mean((mean**2 + np.exp(logvar) - logvar - 1) / 2)
    lam = 1e-5 if mse >= 0.015 else 1e-5 / mse**2
    loss, scalars = method._loss(*map(torch.from_numpy, (x, y, mean, logvar)), Progress(0, 1))
    assert loss.item() == pytest.approx(mse + lam * kl, rel=1e-9)
    assert scalars["loss_reconstruction"].item() == pytest.approx(error**2)
    assert scalars["lam"].item() == pytest.approx(lam) and scalars["loss_kl"].item() == pytest.approx(kl)


def test_no_gradient_passes_through_hw3s_lambda():
    y = torch.full((2,), 0.1, requires_grad=True)
    assert not vae.hw3_lambda(y.square().mean()).requires_grad


def test_the_error_is_of_pixels_in_0_to_1_whatever_the_rule():
    method = method_of("hw3-vae")
    method.rule = PixelNormalization(0.5, 0.5)
    x, z = torch.zeros(1, 3, 2, 2), torch.zeros(1, 4)
    assert method._loss(x, x + 0.4, z, z, Progress(0, 1))[1]["loss_reconstruction"].item() == pytest.approx(0.04)


def test_the_kl_is_torchs():
    torch.manual_seed(0)
    mean, logvar = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    theirs = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(torch.zeros(()).double(), 1.0))
    torch.testing.assert_close(vae.kl_elements(mean, logvar), theirs)


def test_the_sigma_loss_is_the_likelihood_at_the_best_sigma():
    """Its value is torch's Gaussian likelihood there, another σ is worse, and its gradient is D/2 log MSE's."""
    torch.manual_seed(0)
    x, y = torch.rand(5, 3, 4, 4, dtype=torch.float64), torch.rand(5, 3, 4, 4, dtype=torch.float64).requires_grad_()
    mse = (y - x).square().mean()
    loss, sigma = vae.sigma_loss(mse, 48)

    def nll(s):
        return -Normal(y, s).log_prob(x).sum() / 5

    torch.testing.assert_close(loss, nll(sigma))
    assert nll(0.99 * sigma) > loss and nll(1.01 * sigma) > loss
    ours, theirs = (torch.autograd.grad(each, y, retain_graph=True)[0] for each in (loss, 24 * mse.log()))
    torch.testing.assert_close(ours, theirs)


def test_the_sigma_loss_sums_where_hw3s_takes_means():
    method = method_of(free_bits=0.0)
    x, y, mean, logvar = (torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16), torch.randn(4, 4), torch.randn(4, 4))
    loss, scalars = method._loss(x, y, mean, logvar, Progress(0, 1))
    kl = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(scalars["loss_kl"], kl)
    torch.testing.assert_close(loss, vae.sigma_loss((x - y).square().mean(), 768)[0] + kl)


def test_free_bits_cost_nothing_and_give_no_gradient():
    kl = torch.tensor([0.1, 0.5, 2.0], requires_grad=True)
    costs = vae.free_bits(kl, 0.5)
    torch.testing.assert_close(costs, torch.tensor([0.5, 0.5, 2.0]))
    assert torch.autograd.grad(costs.sum(), kl)[0].tolist() == [0.0, 0.0, 1.0]
    assert vae.free_bits(kl, 0.0) is kl


def test_the_kl_term_warms_up():
    assert [vae.warmup(200, Progress(images, 1000)) for images in (0, 50, 200, 900)] == [0.0, 0.25, 1.0, 1.0]
    assert vae.warmup(0, Progress(0, 1000)) == 1.0
    x, z = torch.rand(4, 3, 16, 16), torch.ones(4, 4)
    cold, half = (method_of(kl_warmup=200)._loss(x, x + 0.1, z, z, Progress(i, 1000)) for i in (0, 100))
    torch.testing.assert_close(half[0] - cold[0], 0.5 * half[1]["loss_kl"], rtol=1e-3, atol=0)


def test_the_perceptual_distance():
    """Features of the same direction are the same whatever their length; at a right angle they are 2 apart."""
    x = torch.zeros(1, 2, 3, 3)
    x[:, 0] = 1
    assert vae.perceptual_distance(lambda v: [v], x, x).item() == 0
    turned = x.roll(1, 1)
    assert vae.perceptual_distance(lambda v: [v], x, turned).item() == pytest.approx(2.0)
    assert vae.perceptual_distance(lambda v: [v, v], x, 3 * x).item() == pytest.approx(0.0, abs=1e-9)


def test_a_perceptual_weight_needs_features():
    with pytest.raises(Refusal, match="--features RUN"):
        presets.get("faces-vae").replaced(perceptual=1.0)


def test_the_perceptual_term_is_weighed_into_the_loss():
    method = method_of()
    x, y, z = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16), torch.ones(4, 4)
    plain = method._loss(x, y, z, z, Progress(0, 1))[0]
    method.preset, method.features = method.preset.replaced(perceptual=3.0, features="run"), lambda v: [v]
    loss, scalars = method._loss(x, y, z, z, Progress(0, 1))
    torch.testing.assert_close(loss - plain, 3 * scalars["loss_perceptual"], rtol=1e-2, atol=0)


def test_a_collapsed_posterior_is_named():
    assert "free-bits" in method_of().alarms({"loss_kl": 0.2})["posterior collapse"]
    assert method_of().alarms({"loss_kl": 3.0}) == {}
    assert method_of("hw3-vae").alarms({"loss_kl": 0.3}) == {}  # a mean of 4: 1.2 nats
    assert method_of("hw3-vae").alarms({"loss_kl": 0.2})


# --- learning and answering ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["mse", "sigma"])
def test_it_learns(likelihood):
    method, faces = method_of(likelihood=likelihood, lr=5e-3), blobs(8)
    x = UNIT(faces, tiny.FLOAT32)
    errors = []
    for i in range(150):
        method.train_mode(True)
        scalars = method.step({"data": Batch(x, None, StepRandom(0, 8 * i, 8))}, Progress(8 * i, 1200))
        errors.append(scalars["loss_reconstruction"].item())
    assert errors[-1] < 0.1 * errors[0]
    assert method.validate(ImageSet("blobs", faces))["mse"] < x.var().item() / 2


def blobs(count, size=16):
    """Pictures uint8 `[count, 3, size, size]` of one bright square in different places."""
    images = torch.full((count, 3, size, size), 40, dtype=torch.uint8)
    for i in range(count):
        images[i, :, i % 8 : i % 8 + 6, 3 * i % 9 : 3 * i % 9 + 6] = 220
    return images


@pytest.mark.parametrize("name", ["hw3-vae", "faces-vae"])
def test_a_step_in_bfloat16_has_losses_in_float32(name):
    preset = presets.get(name).replaced(batch=4, **({} if name == "hw3-vae" else {"width": 2}))
    nets = build_vae(preset, 0)
    for net in nets.values():
        net.to(memory_format=torch.channels_last)
    method = VAEMethod(preset, nets, 0, UNIT, BFLOAT16)
    scalars = method.step(batch_of(size=64), Progress(0, 100))
    assert all(value.dtype == torch.float32 and value.isfinite() for value in scalars.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for net in nets.values() for p in net.parameters())


def test_noise_depends_on_the_images_seen_alone():
    one, other, later = (method_of().step(batch_of() | {"data": batch}, Progress(0, 9))["loss"] for batch in noises())
    assert one == other and one != later


def noises():
    x = batch_of()["data"].x
    return [Batch(x, None, StepRandom(0, start, 4)) for start in (0, 0, 4)]


def test_measures_of_held_out_images():
    method, held_out = method_of(), ImageSet("blobs", blobs(7))
    seen = method.reconstruct(held_out.images)
    assert seen.shape == (7, 3, 16, 16) and seen.dtype == torch.float32 and seen.min() >= 0 and seen.max() <= 1
    mse = (seen.double() - held_out.images.double() / 255).square().mean((1, 2, 3))
    psnr = 10 * torch.log10(1 / mse)
    expected = {"psnr": psnr.mean().item(), "mse": mse.mean().item(), "error": psnr.std().item() / 7**0.5}
    assert method.validate(held_out) == pytest.approx(expected, rel=1e-5)


def test_embeddings_are_the_posterior_means():
    method = method_of()
    mean, logvar = method.encode(blobs(5))
    assert torch.equal(method.embed(blobs(5)), mean)
    expected = method.networks["encoder"](blobs(5) / 255)
    torch.testing.assert_close((mean, logvar), expected)


def test_a_conditional_model_must_know_the_class():
    method = method_of(classes=3, condition="classes")
    labels = torch.tensor([0, 1, 2, 0, 1])
    assert method.reconstruct(blobs(5), labels).shape == (5, 3, 16, 16)
    method.step(batch_of(labels=labels[:4]), Progress(0, 1))
    assert method.validate(ImageSet("blobs", blobs(5), labels, ("a", "b", "c")))["mse"] > 0
    with pytest.raises(Refusal, match="must know the class"):
        method.reconstruct(blobs(5))


# --- the prior -------------------------------------------------------------------------------------------------------


def points_of(centres, each, spread=0.5):
    torch.manual_seed(0)
    return torch.cat([torch.tensor(c) + spread * torch.randn(each, 2) for c in centres])


def test_a_drawn_mixture_has_the_moments_of_what_it_was_fitted_to():
    """Two far clusters of posterior means; what is drawn has their mean, and their covariance plus the posterior's."""
    means, variances = points_of([(-4.0, 1.0), (4.0, -1.0)], 300), torch.tensor([0.04, 0.09]).expand(600, 2)
    mixture, reason = fit_mixture(means, variances, torch.zeros(600, dtype=torch.int64), 1, 2)
    assert "2 " in reason
    drawn = mixture.draw(torch.Generator().manual_seed(0), 20_000)
    torch.testing.assert_close(drawn.mean(0), means.mean(0), rtol=0, atol=0.1)
    expected = means.T.cov() + torch.diag(torch.tensor([0.04, 0.09]))
    torch.testing.assert_close(drawn.T.cov(), expected, rtol=0.03, atol=0.03)
    assert (drawn[:, 0].abs() < 1).float().mean() < 0.01  # between the clusters there is nothing


def test_correlated_latents_take_a_full_covariance():
    means = points_of([(0.0, 0.0)], 400, spread=1.0) @ torch.tensor([[1.0, 0.95], [0.0, 0.3]])
    mixture, reason = fit_mixture(means, torch.full((400, 2), 0.001), torch.zeros(400, dtype=torch.int64), 1, 1)
    assert reason.endswith("1 full")
    drawn = mixture.draw(torch.Generator().manual_seed(0), 20_000)
    torch.testing.assert_close(drawn.T.corrcoef(), means.T.corrcoef(), rtol=0, atol=0.02)


def test_each_class_has_its_own_mixture():
    means, groups = points_of([(-5.0, 0.0), (5.0, 0.0), (0.0, 9.0)], 4), torch.arange(3).repeat_interleave(4)
    mixture, _ = fit_mixture(means, torch.full((12, 2), 0.01), groups, 3, 2)
    labels = torch.tensor([2, 0, 1, 2])
    drawn = mixture.draw(torch.Generator().manual_seed(0), 4, labels)
    nearest = torch.cdist(drawn, torch.tensor([(-5.0, 0.0), (5.0, 0.0), (0.0, 9.0)])).argmin(1)
    assert torch.equal(nearest, labels)
    with pytest.raises(ValueError, match="expected labels"):
        mixture.draw(torch.Generator(), 4)


def test_classes_of_unlike_numbers_of_components_share_a_tensor():
    """A component that a class does not have is never drawn."""
    roots = torch.zeros(2, 2, 1, 1)
    mixture = Mixture(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[[1.0], [2.0]], [[3.0], [9.0]]]), roots)
    drawn = mixture.draw(torch.Generator().manual_seed(0), 50, torch.ones(50, dtype=torch.int64))
    assert (drawn == 3).all()


def test_a_class_of_one_image_is_refused():
    with pytest.raises(Refusal, match="Class number 1 has 1 training images"):
        fit_mixture(torch.rand(5, 2), torch.ones(5, 2), torch.tensor([0, 0, 0, 0, 1]), 2, 2)


def test_a_prior_is_stored_and_read(tmp_path):
    method, other = method_of(prior="mixture"), method_of(prior="mixture")
    with pytest.raises(Refusal, match="was not fitted"):
        method.sample(1, seed=0)
    with pytest.raises(Refusal, match="was not fitted"):
        method.prior_state()
    assert "likeliest" in method.fit_prior(blobs(40))
    save_file(method.prior_state(), tmp_path / "prior.safetensors")
    other.load_prior(load_file(tmp_path / "prior.safetensors"))
    assert torch.equal(method.sample(3, seed=1), other.sample(3, seed=1))


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_a_picture_does_not_depend_on_how_many_are_drawn(prior):
    method = method_of(prior=prior)
    if prior == "mixture":
        method.fit_prior(blobs(40))
    whole = method.sample(60, seed=5)
    assert whole.shape == (60, 3, 16, 16) and whole.dtype == torch.uint8
    assert torch.equal(whole[47:55], method.sample(8, seed=5, first=47))
    assert not torch.equal(whole[:3], method.sample(3, seed=6))


def test_latents_from_the_normal_prior_are_normal():
    drawn = method_of(prior="normal").latents(torch.Generator().manual_seed(0), 20_000)
    torch.testing.assert_close(drawn.T.cov(), torch.eye(4), rtol=0, atol=0.05)


# --- walks in latent space -------------------------------------------------------------------------------------------


def test_interpolation_runs_along_the_circle():
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    walk = vae.interpolate(a, b, 5)
    torch.testing.assert_close(walk[0], a)
    torch.testing.assert_close(walk[-1], b)
    torch.testing.assert_close(walk.norm(dim=1), torch.linspace(2, 4, 5))
    torch.testing.assert_close(torch.atan2(walk[:, 1], walk[:, 0]), torch.linspace(0, math.pi / 2, 5))
    torch.testing.assert_close(vae.interpolate(a, 2 * a, 3)[1], 1.5 * a)
    with pytest.raises(Refusal, match="not 1 steps"):
        vae.interpolate(a, b, 1)


def test_an_attributes_direction_is_the_difference_of_two_means():
    latents, has = torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, 0.0]]), torch.tensor([True, True, False])
    assert vae.attribute_direction(latents, has).tolist() == [2.0, 1.0]
    with pytest.raises(Refusal, match="with it and without"):
        vae.attribute_direction(latents, torch.ones(3, dtype=torch.bool))
