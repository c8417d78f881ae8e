"""Methods: their losses, their gradients and their steps, against restatements in plain torch."""

import copy
import math

import pytest
import tiny
import torch
from torch.nn import functional as F

from genshift import presets
from genshift.data.feed import Batch, StepRandom
from genshift.methods import DANN, Supervised, base
from genshift.methods.dann import GradientReversal, domain_accuracy, domain_loss, mixed_loss
from genshift.methods.schedules import Progress, dann_lambda, learning_rate, make_optimizer
from genshift.runs.trained_run import build_method

START, HALF, END = (Progress(images, 100) for images in (0, 50, 100))
LR = 1e-3
NONE = StepRandom(0, 0, 0)  # these methods draw nothing


def method_of(name, **changes):
    """A method in float64 at lr 1e-3, with plain Adam."""
    preset = presets.get(name).replaced(lr=LR, mean=0.5, std=0.5, **changes)
    return build_method(preset, 10, tiny.FLOAT64, seed=0)


def batch_of(source=6, target=6, seed=0):
    """Random pictures of two domains that differ; labels for the source alone."""
    torch.manual_seed(seed)
    xs = torch.randn(source, 3, 28, 28, dtype=torch.float64)
    xt = 0.5 * torch.randn(target, 3, 28, 28, dtype=torch.float64) + 0.3
    return {"source": Batch(xs, torch.arange(source) % 10, NONE), "target": Batch(xt, None, NONE)}


def gradients(loss, net):
    return torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)


# --- closed forms ---------------------------------------------------------------------------------------------------


def told_of(*shares):
    """What a domain classifier that gives the source these probabilities says: logits, and log-probabilities."""
    p = torch.tensor(shares, dtype=torch.float64)
    return p.logit()[:, None], torch.stack([p, 1 - p], dim=1).log()


@pytest.mark.parametrize("form", [0, 1], ids=["logits", "log-probabilities"])
def test_the_domain_loss_is_the_sum_of_each_domains_mean_and_hw2s_the_mean_of_the_batch(form):
    told = told_of(0.9, 0.4, 0.2)[form]
    terms = [math.log(0.9), math.log(0.6), math.log(0.8)]
    assert domain_loss(told, 1).item() == pytest.approx(-terms[0] - (terms[1] + terms[2]) / 2, rel=1e-12)
    assert mixed_loss(told, 1).item() == pytest.approx(-sum(terms) / 3, rel=1e-12)


def test_unequal_batches_weigh_the_same():
    """Seeing every target image three times over changes neither the loss nor the accuracy of hw3's classifier."""
    torch.manual_seed(0)
    source, target = (torch.randn(4, 2, dtype=torch.float64).log_softmax(1) for _ in range(2))
    once, thrice = torch.cat([source, target]), torch.cat([source, target, target, target])
    torch.testing.assert_close(domain_loss(thrice, 4), domain_loss(once, 4))
    torch.testing.assert_close(domain_accuracy(thrice, 4), domain_accuracy(once, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_domain_loss_is_computed_in_float32_at_least(dtype):
    for loss, value in ((domain_loss, 2 * math.log(2)), (mixed_loss, math.log(2))):
        assert loss(torch.zeros(4, 1, dtype=dtype), 2).dtype == torch.float32
        assert loss(torch.zeros(4, 1, dtype=dtype), 2).item() == pytest.approx(value)


def test_domain_accuracy_is_the_mean_of_both_domains_shares():
    one = torch.tensor([[1.0], [-1.0], [-1.0], [-1.0], [1.0], [1.0]])  # source: 1 of 2; target: 2 of 4
    assert domain_accuracy(one, 2).item() == 0.5
    assert domain_accuracy(torch.tensor([[1.0], [1.0], [1.0]]), 1).item() == 0.5  # always "source"
    two = torch.tensor([[-0.1, -3.0], [-3.0, -0.1], [-3.0, -0.1]])
    assert domain_accuracy(two, 1).item() == 1.0


def test_the_ramp_of_lambda():
    assert dann_lambda(0.0) == 0.0
    assert dann_lambda(0.5) == pytest.approx((1 - math.exp(-5)) / (1 + math.exp(-5)), rel=1e-12)
    assert dann_lambda(1.0) == pytest.approx(0.9999092, abs=1e-7)
    assert method_of("hw3-dann-usps-mnistm", lam=0.4).lam(HALF) == pytest.approx(0.4 * dann_lambda(0.5))
    assert method_of("hw2-dann-mnistm-usps").lam(START) == 0.1


def test_learning_rates():
    assert [learning_rate(2.0, "constant", 0, p) for p in (START, HALF, END)] == [2.0, 2.0, 2.0]
    assert [learning_rate(2.0, "linear", 0, p) for p in (START, HALF, END)] == [2.0, 1.0, 0.0]
    cosine = [learning_rate(2.0, "cosine", 0, p) for p in (START, HALF, END)]
    assert cosine == pytest.approx([2.0, 1.0, 0.0])
    assert learning_rate(2.0, "constant", 50, START) == pytest.approx(2.0 / 50)
    assert learning_rate(2.0, "constant", 50, Progress(24, 100)) == pytest.approx(1.0)
    assert learning_rate(2.0, "constant", 50, HALF) == 2.0


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_optimizers_are_torchs(kind):
    """One step of ours and of torch's own defaults from the same weights and gradient."""
    classes = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    ours, theirs = (torch.nn.Parameter(torch.arange(3.0, dtype=torch.float64)) for _ in range(2))
    options = {"momentum": 0.9} if kind == "sgd" else {}
    optimizers = (
        make_optimizer(kind, [ours], 0.1, 0.2),
        classes[kind]([theirs], lr=0.1, weight_decay=0.2, **options),
    )
    for _ in range(2):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


# --- the adversary's gradient ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.0, 0.1, 1.0])
def test_reversal_turns_and_scales_the_gradient_and_nothing_else(lam):
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    y = GradientReversal.apply(x, lam)
    assert torch.equal(y, x)
    seed = torch.randn(4, 3, dtype=torch.float64)
    assert torch.equal(torch.autograd.grad(y, x, seed)[0], -lam * seed)


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_the_domain_loss_reaches_the_extractor_reversed_and_scaled(lam):
    """In hw3's networks: exactly -λ times the plain gradient in the extractor, the plain one in the classifier."""
    nets = method_of("hw3-dann-svhn-usps").networks
    batch = batch_of()
    features = torch.cat([nets["extractor"](batch[d].x) for d in ("source", "target")])
    plain = domain_loss(nets["domain"](features), 6)
    turned = domain_loss(nets["domain"](GradientReversal.apply(features, lam)), 6)
    assert torch.equal(plain, turned)
    reached, wanted = gradients(turned, nets["extractor"]), gradients(plain, nets["extractor"])
    assert max(g.abs().max() for g in wanted) > 1e-4, "the domain loss does not reach the extractor at all"
    torch.testing.assert_close(reached, tuple(-lam * g for g in wanted), rtol=1e-9, atol=1e-15)
    assert all(
        torch.equal(a, b) for a, b in zip(*(gradients(loss, nets["domain"]) for loss in (turned, plain)), strict=True)
    )


@pytest.mark.parametrize("name", ["hw2-dann-mnistm-svhn", "hw3-dann-svhn-usps"])
def test_with_lambda_0_the_extractor_learns_from_labels_alone(name):
    """With λ = 0 extractor and predictor step as if there were no adversary; with λ > 0 they do not."""
    with_0, with_1, alone = (method_of(name, lam=lam, lam_schedule="constant") for lam in (0.0, 1.0, 0.0))
    batch = batch_of()
    for method in (with_0, with_1):
        method.step(batch, HALF)
    features = alone.features(batch)[:6]
    loss = F.cross_entropy(alone.networks["predictor"](features), batch["source"].y)
    loss.backward()
    for optimizer in alone.optimizers.values():
        optimizer.step()
    for part in ("extractor", "predictor"):
        theirs = alone.networks[part].state_dict()
        assert same(with_0.networks[part].state_dict(), theirs)
    assert not same(with_1.networks["extractor"].state_dict(), alone.networks["extractor"].state_dict())
    assert same(with_1.networks["predictor"].state_dict(), alone.networks["predictor"].state_dict())


def same(one, other):
    return all(torch.allclose(one[k].double(), v.double(), rtol=1e-9, atol=1e-9) for k, v in other.items())


# --- whole steps, restated ------------------------------------------------------------------------------------------


def adam_once(net, grads):
    """Adam's first step by hand: m̂ = g and v̂ = g², so θ ← θ - lr g / (|g| + ε)."""
    with torch.no_grad():
        for parameter, g in zip(net.parameters(), grads, strict=True):
            parameter -= LR * g / (g.abs() + 1e-8)


@pytest.mark.parametrize("sizes", [(6, 6), (4, 8)])
def test_the_alternating_step_is_its_restatement(sizes):
    """hw2's cited source: the classifier steps on detached features, then extractor and predictor against it."""
    method = method_of("hw2-dann-mnistm-svhn")
    nets, batch = copy.deepcopy(method.networks), batch_of(*sizes)
    scalars = method.step(batch, HALF)

    is_source = torch.tensor([1.0] * sizes[0] + [0.0] * sizes[1], dtype=torch.float64)
    extractor, predictor, domain = nets["extractor"], nets["predictor"], nets["domain"]
    features = extractor(torch.cat([batch["source"].x, batch["target"].x]))

    def told_apart(features):
        return F.binary_cross_entropy(torch.sigmoid(domain(features)[:, 0]), is_source)

    adversary = told_apart(features.detach())
    adam_once(domain, gradients(adversary, domain))
    labels = F.nll_loss(predictor(features[: sizes[0]]).log_softmax(1), batch["source"].y)
    total = labels - 0.1 * told_apart(features)
    steps = {name: gradients(total, nets[name]) for name in ("extractor", "predictor")}
    for name, grads in steps.items():
        adam_once(nets[name], grads)

    for name, net in nets.items():
        assert same(method.networks[name].state_dict(), net.state_dict()), name
    assert scalars["loss_label"].item() == pytest.approx(labels.item())
    assert scalars["loss_domain"].item() == pytest.approx(adversary.item())
    assert scalars["lam"].item() == pytest.approx(0.1)


@pytest.mark.parametrize("sizes", [(6, 6), (2, 8)])
def test_the_reversal_step_is_its_restatement(sizes):
    """The paper's equations 13 to 15 with each part's own gradient written out."""
    method = method_of("hw3-dann-usps-mnistm")
    nets, batch = copy.deepcopy(method.networks), batch_of(*sizes)
    scalars = method.step(batch, HALF)

    lam = (1 - math.exp(-5)) / (1 + math.exp(-5))
    fs, ft = nets["extractor"](batch["source"].x), nets["extractor"](batch["target"].x)
    labels = F.nll_loss(nets["predictor"](fs), batch["source"].y)
    of_source = F.nll_loss(nets["domain"](fs), torch.zeros(sizes[0], dtype=torch.long))
    of_target = F.nll_loss(nets["domain"](ft), torch.ones(sizes[1], dtype=torch.long))
    apart = of_source + of_target
    pairs = zip(gradients(labels, nets["extractor"]), gradients(apart, nets["extractor"]), strict=True)
    steps = {
        "extractor": [label - lam * domain for label, domain in pairs],
        "predictor": gradients(labels, nets["predictor"]),
        "domain": gradients(apart, nets["domain"]),
    }
    for name, grads in steps.items():
        adam_once(nets[name], grads)

    for name, net in nets.items():
        assert same(method.networks[name].state_dict(), net.state_dict()), name
    assert scalars["loss_label"].item() == pytest.approx(labels.item())
    assert scalars["loss_domain"].item() == pytest.approx(apart.item())


def test_the_supervised_step_is_its_restatement():
    method = method_of("hw3-source-usps-mnistm")
    nets, batch = copy.deepcopy(method.networks), batch_of()
    scalars = method.step({"source": batch["source"]}, HALF)
    loss = F.nll_loss(nets["predictor"](nets["extractor"](batch["source"].x)), batch["source"].y)
    steps = {name: gradients(loss, net) for name, net in nets.items()}
    for name, grads in steps.items():
        adam_once(nets[name], grads)
        assert same(method.networks[name].state_dict(), nets[name].state_dict()), name
    assert scalars["loss_label"].item() == pytest.approx(loss.item())


# --- BatchNorm's statistics -----------------------------------------------------------------------------------------


def test_mixed_statistics_are_those_of_both_domains_in_one_batch():
    method, batch = method_of("hw2-dann-mnistm-svhn"), batch_of(4, 8)
    extractor = copy.deepcopy(method.networks["extractor"])
    both = extractor(torch.cat([batch["source"].x, batch["target"].x]))
    torch.testing.assert_close(method.features(batch), both)


def test_apart_each_domain_is_normalised_by_its_own_statistics():
    """The source's features do not depend on the target's images; mixed, they do."""
    batch = batch_of(4, 8)
    brighter = {**batch, "target": Batch(batch["target"].x * 5 + 3, None, NONE)}
    for statistics, depends in (("apart", False), ("mixed", True)):
        method = method_of("hw2-dann-mnistm-svhn", statistics=statistics)
        one, other = method.features(batch)[:4], method.features(brighter)[:4]
        assert torch.allclose(one, other) is not depends


def test_apart_the_running_statistics_see_both_domains():
    method, batch = method_of("hw3-dann-usps-mnistm"), batch_of(4, 8)
    norm = method.networks["extractor"].extract[0].block[1]
    conv = method.networks["extractor"].extract[0].block[0]
    method.features(batch)
    means = [conv(batch[domain].x).mean((0, 2, 3)) for domain in ("source", "target")]
    torch.testing.assert_close(norm.running_mean, 0.9 * (0.1 * means[0]) + 0.1 * means[1])


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [("hw2-source-mnistm-usps", Supervised), ("hw3-dann-svhn-usps", DANN), ("demo-target", Supervised)],
)
def test_predictions_are_probabilities_and_leave_no_trace(name, kind):
    method = method_of(name)
    assert type(method) is kind
    before = {n: copy.deepcopy(net.state_dict()) for n, net in method.networks.items()}
    images = tiny.digits(12, 0).images
    probabilities, features = method.predict(images), method.embed(images)
    assert probabilities.shape == (12, 10) and features.shape == (12, 512) and features.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(12))
    assert torch.equal(method.predict(images[5:6]).argmax(1), probabilities[5:6].argmax(1))
    for n, net in method.networks.items():
        assert not tiny.different(before[n], net.state_dict())


def test_answers_do_not_depend_on_how_many_are_asked_at_once(monkeypatch):
    method, images = method_of("hw3-source-svhn-usps"), tiny.digits(7, 0).images
    at_once = method.predict(images)
    monkeypatch.setattr(base, "EVALUATION_BATCH", 3)
    torch.testing.assert_close(method.predict(images), at_once)


def test_validation_is_the_share_of_right_answers_with_its_binomial_error():
    method, held_out = method_of("hw3-source-svhn-usps"), tiny.digits(20, 0)
    share = (method.predict(held_out.images).argmax(1) == held_out.labels).double().mean().item()
    error = math.sqrt(share * (1 - share) / 20)
    assert method.validate(held_out) == {"source_accuracy": pytest.approx(share), "error": pytest.approx(error)}
