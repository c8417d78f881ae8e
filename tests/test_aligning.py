"""AdaBN, deep CORAL, CDAN+E, MCC: each loss in numpy, a step restated, whose statistics are whose, that they learn."""

import copy

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, softmax

from genshift import presets
from genshift.methods.aligning import certainty, entropy
from genshift.methods.coral import coral_loss
from genshift.methods.dann import domain_loss
from genshift.methods.mcc import class_confusion
from genshift.methods.schedules import Progress
from genshift.nets.layers import in_domain
from genshift.runs.trained_run import build_method

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(7, 5)) * 2, RNG.normal(size=(9, 5)) + 1


def method_of(role):
    return build_method(presets.get(f"{role}-usps-mnistm").replaced(width=8), 10, tiny.FLOAT64, seed=0)


def entropies(z):
    p = softmax(z)
    return -(p * np.log(p)).sum(1)


def test_coral_is_the_distance_of_covariances():
    """numpy's own covariance, equation 1."""
    difference = np.cov(SOURCE.T) - np.cov(TARGET.T)
    expected = np.linalg.norm(difference, "fro") ** 2 / (4 * 5**2)
    assert coral_loss(torch.tensor(SOURCE), torch.tensor(TARGET)).item() == pytest.approx(expected)


def test_entropy_and_certainty():
    assert np.allclose(entropy(torch.tensor(TARGET)), entropies(TARGET))
    assert np.allclose(certainty(torch.tensor(TARGET)), 1 + np.exp(-entropies(TARGET)))


def test_class_confusion_is_the_papers():
    """Element by element."""
    z = TARGET / 2.5
    y, h, (n, k) = softmax(z), entropies(z), z.shape
    weights = n * (1 + np.exp(-h)) / (1 + np.exp(-h)).sum()
    c = np.array([[sum(y[i, a] * weights[i] * y[i, b] for i in range(n)) for b in range(k)] for a in range(k)])
    c = c / c.sum(1)[:, None]
    expected = sum(c[a, b] for a in range(k) for b in range(k) if a != b) / k
    assert class_confusion(torch.tensor(TARGET), 2.5).item() == pytest.approx(expected)


def test_the_conditional_adversarys_loss_weighs_by_certainty():
    """In probabilities, with weights of its own."""
    told, logits = RNG.normal(size=16), np.concatenate([SOURCE, TARGET])
    w, d = 1 + np.exp(-entropies(logits)), 1 / (1 + np.exp(-told))
    ws, wt = w[:7] / w[:7].sum(), w[7:] / w[7:].sum()
    expected = -(ws * np.log(d[:7])).sum() - (wt * np.log(1 - d[7:])).sum()
    found = domain_loss(torch.tensor(told)[:, None], 7, certainty(torch.tensor(logits)))
    assert found.item() == pytest.approx(expected)


def features_of(net, xs, xt):
    return torch.cat([in_domain(net, "source")(xs), in_domain(net, "target")(xt)])


def parts_of(role, nets, features, logits):
    """The label loss's companion for the extractor, written as a minimum without a reversal layer (λ = 0.4)."""
    if role == "coral":
        return coral_loss(logits[:6], logits[6:])
    if role == "mcc":
        return class_confusion(logits[6:], 2.5)
    lam = 0.4
    if role == "cdan":
        told = nets["domain"](features, logits.softmax(1).detach())
        return -lam * domain_loss(told, 6, certainty(logits))
    told = nets["domain"](features)[:, 0].sigmoid()
    domain = -told[:6].log().mean() - (1 - told[6:]).log().mean()
    return (class_confusion(logits[6:], 2.5) if role == "dann-mcc" else 0.0) - lam * domain


@pytest.mark.parametrize("role", ["dann", "coral", "mcc", "cdan", "dann-mcc"])
def test_a_step_is_its_restatement(role, monkeypatch):
    """The gradients that the step leaves in the extractor and the predictor are those of the whole loss by hand."""
    method, batch = method_of(role), adapted_batch(6, 8)
    if method.preset.adversary != "none":
        monkeypatch.setattr(method, "lam", lambda progress: 0.4)
    nets = {name: copy.deepcopy(net) for name, net in method.networks.items()}
    method.train_mode(True)
    scalars = method.step(batch, Progress(50, 100))
    features = features_of(nets["extractor"], batch["source"].x, batch["target"].x)
    logits = nets["predictor"](features)
    label = -logits[:6].log_softmax(1)[range(6), batch["source"].y].mean()
    (label + parts_of(role, nets, features, logits)).backward()
    assert scalars["loss_label"].item() == pytest.approx(label.item())
    for name in ("extractor", "predictor"):
        for (key, p), q in zip(method.networks[name].named_parameters(), nets[name].parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, msg=key)
    if "domain" in nets:  # the adversary descends what the extractor ascends
        for p, q in zip(method.networks["domain"].parameters(), nets["domain"].parameters(), strict=True):
            torch.testing.assert_close(p.grad, -q.grad / 0.4)


def test_adabn_learns_from_the_source_alone_and_answers_by_the_targets_statistics():
    method, batch = method_of("adabn"), adapted_batch(6, 8)
    twin, other = method_of("adabn"), adapted_batch(6, 8, seed=1)["target"]
    assert method.draws == ("source", "target")
    for each, target in ((method, batch["target"]), (twin, other)):
        each.train_mode(True)
        each.step({"source": batch["source"], "target": target}, Progress(0, 100))
    differing = tiny.different(method.networks["extractor"].state_dict(), twin.networks["extractor"].state_dict())
    assert differing and all("running" in key for key in differing)
    images = tiny.digits(8, 0).images
    source, target = method.predict(images, "source"), method.predict(images, "target")
    assert not torch.allclose(source, target)
    assert torch.equal(source, twin.predict(images, "source")) and torch.equal(target, method.predict(images))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("role", ["adabn", "coral", "cdan", "mcc"])
def test_it_learns(role, tmp_path):
    assert accuracy_on_the_embedded_pair(role, tmp_path) > 0.5
