"""The GANs' networks as the reports print them, ours of any size, and the layers below both."""

import copy
from itertools import pairwise

import pytest
import torch
from test_nets import norm, numbered, printed
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from genshift import presets
from genshift.errors import Refusal
from genshift.methods import networks_of
from genshift.nets import layers
from genshift.nets.gan import widths
from genshift.nets.layers import Conv2d, ConvTranspose2d, LayerNorm, Sigmoid, spectral

SLOPED = "LeakyReLU(negative_slope=0.2)"
SLOPED_INPLACE = "LeakyReLU(negative_slope=0.2, inplace=True)"


def conv(a, b, k, stride=1, padding=0, kind="Conv2d", extra=0, bias=True):
    parts = [f"{a}, {b}, kernel_size=({k}, {k}), stride=({stride}, {stride})"]
    parts += [f"padding=({padding}, {padding})"] if padding else []
    parts += [f"output_padding=({extra}, {extra})"] if extra else []
    return f"{kind}({', '.join(parts + ([] if bias else ['bias=False']))})"


def up(a, b, k, stride=1, padding=0, extra=0, bias=True):
    return conv(a, b, k, stride, padding, "ConvTranspose2d", extra, bias)


def sequence(*parts):
    return ("Sequential", numbered(parts))


def up5(a, b, activation):
    return sequence(up(a, b, 5, 2, 2, 1, bias=False), norm(b), activation)


def layer_norm(channels, side):
    return f"LayerNorm(({channels}, {side}, {side}), eps=1e-05, elementwise_affine=True)"


def block(kind, first, channels, activation):
    return (kind, [("block", *sequence(first, norm(channels), activation))])


def down(a, b):
    return block("Conv_Block", conv(a, b, 4, 2, 1), b, SLOPED_INPLACE)


def tran(a, b, *geometry):
    return block("Tran_Block", up(a, b, 4, *geometry), b, "ReLU(inplace=True)")


# hw2's "Problem 1", hw3's "Problem 2". (The reports' text reads l1 and ls as 11 and 1s.)
HW2_A = [
    ("l1", *sequence("Linear(in_features=100, out_features=8192, bias=False)", norm(8192, "1d"), "ReLU()")),
    (
        "l2_5",
        *sequence(
            *(up5(a, b, "ReLU()") for a, b in ((512, 256), (256, 128), (128, 64))),
            up(64, 3, 5, 2, 2, 1),
            "Tanh()",
        ),
    ),
]
HW2_A_D = [
    (
        "ls",
        *sequence(
            conv(3, 64, 5, 2, 2),
            SLOPED,
            *(sequence(conv(a, 2 * a, 5, 2, 2), norm(2 * a), SLOPED) for a in (64, 128, 256)),
            conv(512, 1, 4),
            "Sigmoid()",
        ),
    )
]
HW2_B = [
    ("l1", *sequence(up(100, 1024, 4, bias=False), norm(1024), "ReLU(inplace=True)")),
    (
        "l2_5",
        *sequence(
            *(up5(a, a // 2, "ReLU(inplace=True)") for a in (1024, 512, 256)),
            up(128, 3, 5, 2, 2, 1, bias=False),
            "Tanh()",
        ),
    ),
]
HW2_B_D = [
    (
        "ls",
        *sequence(
            conv(3, 64, 4, 2, 1, bias=False),
            SLOPED,
            *(
                sequence(conv(a, 2 * a, 4, 2, 1, bias=False), layer_norm(2 * a, side), SLOPED_INPLACE)
                for a, side in ((64, 16), (128, 8), (256, 4))
            ),
            conv(512, 1, 4, bias=False),
        ),
    )
]
HW3 = [
    (
        "decode",
        *sequence(
            tran(128, 512, 1, 0),
            *(tran(2 * b, b, 2, 1) for b in (256, 128, 64)),
            up(64, 3, 4, 2, 1),
            "Tanh()",
        ),
    )
]
HW3_DOWN = [down(a, b) for a, b in pairwise((3, 64, 128, 256, 512))]
HW3_D = [("encode", *sequence(*HW3_DOWN, conv(512, 1, 4), "Sigmoid()"))]
REPORTS = {"hw2-gan-a": (HW2_A, HW2_A_D), "hw2-gan-b": (HW2_B, HW2_B_D), "hw3-gan": (HW3, HW3_D)}
WEIGHTS = {  # by hand: kernels, biases, two a channel of BatchNorm, and a LayerNorm's whole maps
    "hw2-gan-a": (
        100 * 8192 + 2 * 8192 + 25 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 2 * (256 + 128 + 64) + 3,
        25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 960 + 2 * 896 + 16 * 512 + 1,
    ),
    "hw2-gan-b": (
        16 * 100 * 1024 + 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 2 * (1024 + 896),
        16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 2 * (128 * 256 + 256 * 64 + 512 * 16),
    ),
    "hw3-gan": (
        16 * (128 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 3 * 960 + 3,
        16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 3 * 960 + 1,
    ),
}


@pytest.fixture(scope="module")
def built():
    return {name: networks_of(presets.get(name).replaced(spectral_norm="off"), 0) for name in REPORTS}


@pytest.mark.parametrize("name", REPORTS)
def test_a_network_prints_as_in_the_report(name, built):
    generator, discriminator = REPORTS[name]
    assert str(built[name]["generator"]) == printed("Generator", generator)
    assert str(built[name]["discriminator"]) == printed("Discriminator", discriminator)


def test_spectral_normalisation_does_not_show_in_the_print(built):
    normalised = networks_of(presets.get("hw2-gan-b"), 0)["discriminator"]
    assert str(normalised) == str(built["hw2-gan-b"]["discriminator"])
    convolutions = [layer for layer in normalised.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 5 and all(hasattr(layer, "weight_free") for layer in convolutions)


@pytest.mark.parametrize("name", REPORTS)
def test_weights_are_as_many_as_by_hand(name, built):
    counts = tuple(sum(p.numel() for p in net.parameters()) for net in built[name].values())
    assert counts == WEIGHTS[name]


@pytest.mark.parametrize("name", REPORTS)
def test_pictures_and_answers_have_their_ranges(name, built):
    preset, networks = presets.get(name), built[name]
    with torch.no_grad():
        pictures = networks["generator"](torch.randn(2, preset.latent))
        judged = networks["discriminator"](pictures)
    assert pictures.shape == (2, 3, 64, 64) and pictures.abs().max() <= 1 and judged.shape == (2, 1)
    assert name == "hw2-gan-b" or ((judged > 0) & (judged < 1)).all()


def test_the_first_layers_norm_can_be_left_out_of_hw3s_discriminator():
    """As DCGAN has it (arXiv 1511.06434, section 3): no BatchNorm in the discriminator's input layer."""
    nets = []
    for first_norm in ("on", "off"):
        torch.manual_seed(0)
        nets.append(networks_of(presets.get("hw3-gan").replaced(first_norm=first_norm), 0)["discriminator"])
    printed_net, without = nets
    assert [layer.num_features for layer in without.modules() if isinstance(layer, nn.BatchNorm2d)] == [128, 256, 512]
    begun = printed_net.encode[0].block[0].weight, printed_net.encode[4].weight
    assert torch.equal(without.encode[0][0].weight, begun[0])  # all else begins the same
    assert torch.equal(without.encode[4].weight, begun[1])


@pytest.mark.parametrize("name", ["hw2-gan-a", "hw2-gan-b", "faces-gan"])
def test_a_norm_that_is_not_there_cannot_be_left_out(name):
    with pytest.raises(Refusal, match="has no normalisation: leave --first-norm out"):
        networks_of(presets.get(name).replaced(first_norm="off"), 0)


def test_printed_networks_begin_as_dcgans(built):
    for net in (net for pair in built.values() for net in pair.values()):
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and layer.weight.numel() > 10_000:
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.01) and not layer.bias.any()


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize(
    ("changes", "classes", "says"), [({"size": 32}, 0, "64 pixels, not 32"), ({}, 2, "no classes")]
)
def test_printed_networks_refuse_what_they_cannot_take(name, changes, classes, says):
    with pytest.raises(Refusal, match=says):
        networks_of(presets.get(name).replaced(**changes), classes)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize(("colour", "channels"), [("rgb", 3), ("grey", 1)])
@pytest.mark.parametrize("classes", [0, 3])
def test_ours_take_any_size_colour_and_classes(size, colour, channels, classes):
    preset = presets.get("faces-gan").replaced(size=size, colour=colour, width=8)
    networks = networks_of(preset, classes)
    labels = (torch.tensor([0, 2]),) if classes else ()
    with torch.no_grad():
        pictures = networks["generator"](torch.randn(2, preset.latent), *labels)
        judged = networks["discriminator"](pictures, *labels)
    assert pictures.shape == (2, channels, size, size) and pictures.abs().max() <= 1 and judged.shape == (2, 1)


@pytest.mark.parametrize("size", [0, 8, 28, 48, 65, 100])
def test_sizes_that_ours_cannot_take_are_refused(size):
    with pytest.raises(Refusal, match=f"not {size}: give --size 64"):
        widths(8, size)


def test_the_discriminators_width_is_its_own_where_it_is_given():
    preset = presets.get("faces-gan").replaced(size=16, width=8)
    alike, apart = (networks_of(p, 0) for p in (preset, preset.replaced(discriminator_width=16)))
    assert str(alike["generator"]) == str(apart["generator"])
    assert [nets["discriminator"].first.out_channels for nets in (alike, apart)] == [8, 16]
    with pytest.raises(Refusal, match="as printed: leave --discriminator-width out"):
        presets.get("hw2-gan-a").replaced(discriminator_width=16)


def test_a_label_changes_what_ours_draw_and_how_they_judge():
    networks = networks_of(presets.get("faces-gan").replaced(size=16, width=8), 2)
    z, zeros, ones = torch.randn(4, 128), torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    with torch.no_grad():
        pictures = [networks["generator"](z, labels) for labels in (zeros, ones)]
        judged = [networks["discriminator"](pictures[0], labels) for labels in (zeros, ones)]
    assert not torch.allclose(*pictures) and not torch.allclose(*judged)


# --- spectral normalisation -------------------------------------------------------------------------------------------

LAYERS = {
    "convolution": (lambda kind: kind(3, 5, 4, 2, 1), Conv2d, nn.Conv2d, (2, 3, 8, 8)),
    "linear": (lambda kind: kind(6, 4), nn.Linear, nn.Linear, (3, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_spectral_normalisation_is_torchs(name):
    """Output and weight's gradient in training, given the same u and v: one power iteration from the last u."""
    make, own, torchs, shape = LAYERS[name]
    torch.manual_seed(0)
    ours, theirs = make(own).double(), make(torchs).double()
    theirs.load_state_dict(ours.state_dict())
    spectral(ours)
    theirs = spectral_norm(theirs).eval()  # in training, torch's begins its iteration with v instead of u
    given, kept = theirs.parametrizations.weight[0], theirs.parametrizations.weight.original
    x = torch.randn(shape, dtype=torch.float64)
    for _ in range(3):
        matrix, u = kept.detach().flatten(1), ours.u.clone()
        v = nn.functional.normalize(matrix.t() @ u, dim=0)
        given._v.copy_(v), given._u.copy_(nn.functional.normalize(matrix @ v, dim=0))
        y, expected = ours(x), theirs(x)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(ours.u, given._u)
        seed = torch.randn_like(y)
        gradients = torch.autograd.grad(y, ours.weight_free, seed), torch.autograd.grad(expected, kept, seed)
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", LAYERS)
def test_the_largest_singular_value_becomes_one(name):
    make, own, _, shape = LAYERS[name]
    torch.manual_seed(1)
    layer = make(own).double()
    spectral(layer)
    for _ in range(200):
        layer(torch.randn(shape, dtype=torch.float64))
    singular = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    assert singular[0].item() == pytest.approx(1, rel=1e-6)
    free = torch.linalg.svdvals(layer.weight_free.detach().flatten(1))
    torch.testing.assert_close(singular, free / free[0], rtol=1e-6, atol=1e-8)


def test_the_vector_rests_in_evaluation_and_is_saved():
    layer = Conv2d(3, 4, 3)
    spectral(layer)
    assert {"weight_free", "u", "bias"} == set(layer.state_dict()) and layer.u.norm().item() == pytest.approx(1)
    before, x = layer.u.clone(), torch.randn(1, 3, 5, 5)
    layer.eval()(x)
    assert torch.equal(layer.u, before)
    layer.train()(x)
    assert not torch.equal(layer.u, before)


def test_the_gradient_passes_through_the_singular_value():
    """∂(W/σ) by finite differences, u and v held: σ = uᵀWv is linear in W."""
    torch.manual_seed(2)
    layer = nn.Linear(4, 3, bias=False).double()
    spectral(layer)
    layer.eval()
    x = torch.randn(5, 4, dtype=torch.float64)
    loss = layer(x).pow(3).sum()
    (gradient,) = torch.autograd.grad(loss, layer.weight_free)
    u = layer.u
    v = nn.functional.normalize(layer.weight_free.detach().t() @ u, dim=0)
    u = nn.functional.normalize(layer.weight_free.detach() @ v, dim=0)

    def at(weight):
        return (x @ (weight / (u @ (weight @ v))).t()).pow(3).sum()

    weight, step = layer.weight_free.detach().clone(), 1e-6
    for place in ((0, 0), (1, 2), (2, 3)):
        moved = torch.zeros_like(weight)
        moved[place] = step
        slope = (at(weight + moved) - at(weight - moved)) / (2 * step)
        assert gradient[place].item() == pytest.approx(slope.item(), rel=1e-5)


def test_a_normalised_layer_can_be_differentiated_twice():
    torch.manual_seed(3)
    net = nn.Sequential(Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(27, 1)).double()
    spectral(net[0]), spectral(net[3])
    net.eval()
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: net(x).sum(), (x,))
    (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for name, p in net.named_parameters() if "weight" in name)


# --- the matrix form --------------------------------------------------------------------------------------------------

# (channels in, out, side, kernel, stride, padding, output padding): the studies' and odd ones.
UPWARDS = [
    (16, 8, 1, 4, 1, 0, 0),
    (6, 5, 4, 5, 2, 2, 1),
    (6, 5, 4, 4, 2, 1, 0),
    (3, 2, 5, 3, 3, 0, 2),
    (4, 3, 2, 3, 1, 1, 0),
    (4, 3, 1, 4, 2, 1, 0),
    (4, 3, 1, 5, 2, 2, 1),
]
DOWNWARDS = [(5, 6, 4, 4, 1, 0), (5, 6, 8, 4, 2, 1), (5, 6, 7, 5, 2, 2), (4, 4, 1, 3, 1, 1), (4, 4, 2, 3, 2, 1)]


def with_gradients(layer, x, bfloat16):
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        y = layer(x)
    y.double().pow(2).sum().backward()
    return {"y": y.detach(), "x": x.grad, "weight": layer.weight.grad, "bias": layer.bias.grad}


def is_as_exact_as_torchs(own, torchs, options, side):
    torch.manual_seed(0)
    ours, theirs = own(**options), torchs(**options)
    theirs.load_state_dict(ours.state_dict())
    exact = copy.deepcopy(theirs).double()
    x = torch.randn(3, options["in_channels"], side, side)
    truth = with_gradients(exact, x.double(), bfloat16=False)
    mine, other = (with_gradients(layer, x, bfloat16=True) for layer in (ours, theirs))
    for name, value in truth.items():
        assert mine[name].shape == value.shape, name
        errors = [(got[name].double() - value).abs().max() / value.abs().max() for got in (mine, other)]
        assert errors[0] <= 2 * errors[1] + 1e-2, name
    return mine


@pytest.mark.parametrize("geometry", UPWARDS, ids=str)
def test_the_transposed_convolution_is_torchs(geometry, monkeypatch):
    c_in, c_out, side, k, s, p, extra = geometry
    options = {"in_channels": c_in, "out_channels": c_out, "kernel_size": k, "stride": s, "padding": p}
    taken = []
    apply = layers._MatmulConvTranspose.apply
    monkeypatch.setattr(layers._MatmulConvTranspose, "apply", lambda *a: taken.append(True) or apply(*a))
    is_as_exact_as_torchs(ConvTranspose2d, nn.ConvTranspose2d, {**options, "output_padding": extra}, side)
    assert taken


@pytest.mark.parametrize("geometry", DOWNWARDS, ids=str)
def test_the_convolution_is_torchs(geometry):
    c_in, c_out, side, k, s, p = geometry
    options = {"in_channels": c_in, "out_channels": c_out, "kernel_size": k, "stride": s, "padding": p}
    is_as_exact_as_torchs(Conv2d, nn.Conv2d, options, side)


def test_layer_norm_is_torchs_and_prints_as_in_the_report():
    ours, theirs, x = LayerNorm((3, 4, 4)), nn.LayerNorm((3, 4, 4)), torch.randn(2, 3, 4, 4)
    assert torch.equal(ours(x), theirs(x)) and str(ours) == layer_norm(3, 4)


def test_sigmoid_never_computes_in_bfloat16():
    x = torch.tensor([7.0, -20.0]).bfloat16()
    assert torch.equal(Sigmoid()(x), x.float().sigmoid()) and str(Sigmoid()) == "Sigmoid()"
    assert Sigmoid()(x.double()).dtype == torch.float64
