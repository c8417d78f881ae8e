"""MCD: its discrepancy in numpy, a whole step of A, B and four times C restated, whose statistics, that it learns."""

import copy

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, softmax
from torch.nn import functional as F

from genshift import presets
from genshift.methods.mcd import discrepancy
from genshift.methods.schedules import Progress
from genshift.nets.layers import in_domain
from genshift.runs.trained_run import build_method


def method_of(**changes):
    return build_method(presets.get("mcd-usps-mnistm").replaced(width=8, **changes), 10, tiny.FLOAT64, seed=0)


def test_the_published_number_of_steps():
    preset = presets.get("mcd-usps-mnistm")
    assert preset.generator_steps == 4 and "1712.02560" in preset.origins["generator_steps"]


def test_the_discrepancy_is_the_papers():
    """Equation 1, one number at a time."""
    z1, z2 = np.random.default_rng(0).normal(size=(2, 9, 4)) * 2
    p1, p2 = softmax(z1), softmax(z2)
    expected = np.mean([sum(abs(p1[i, k] - p2[i, k]) for k in range(4)) / 4 for i in range(9)])
    assert discrepancy(torch.tensor(z1), torch.tensor(z2)).item() == pytest.approx(expected)
    certain = torch.tensor([[50.0, 0, 0, 0], [0, 50.0, 0, 0]])
    assert discrepancy(certain[:1], certain[1:]).item() == pytest.approx(2 / 4)


def test_a_step_is_its_restatement():
    """The networks that a step leaves are those of six updates by optimizers of our own, each of a loss of its own."""
    method, batch = method_of(), adapted_batch(6, 8)
    g, f1, f2 = (copy.deepcopy(method.networks[name]) for name in ("extractor", "predictor", "second_predictor"))
    assert not torch.equal(f1.weight, f2.weight)
    before = [copy.deepcopy(net) for net in (g, f1, f2)]
    method.train_mode(True)
    scalars = method.step(batch, Progress(50, 100))

    xs, y, xt = batch["source"].x, batch["source"].y, batch["target"].x
    of_g = torch.optim.AdamW(g.parameters(), lr=1e-3, weight_decay=0.01)
    of_f = torch.optim.AdamW([*f1.parameters(), *f2.parameters()], lr=1e-3, weight_decay=0.01)

    def labels():
        features = in_domain(g, "source")(xs)
        return F.cross_entropy(f1(features), y) + F.cross_entropy(f2(features), y)

    def adversary():
        features = in_domain(g, "target")(xt)
        return (f1(features).softmax(1) - f2(features).softmax(1)).abs().sum(1).mean() / 10

    def update(loss, *optimizers):
        for each in (of_g, of_f):
            each.zero_grad()
        loss.backward()
        for each in optimizers:
            each.step()

    first = labels()
    update(first, of_g, of_f)  # A
    update(labels() - adversary(), of_f)  # B
    for _ in range(4):  # C
        last = adversary()
        update(last, of_g)
    assert scalars["loss_label"].item() == pytest.approx(first.item() / 2)
    assert scalars["discrepancy"].item() == pytest.approx(last.item())
    for name, net, old in zip(("extractor", "predictor", "second_predictor"), (g, f1, f2), before, strict=True):
        for (key, value), start in zip(net.state_dict().items(), old.state_dict().values(), strict=True):
            assert not torch.equal(value, start), (name, key)
            torch.testing.assert_close(method.networks[name].state_dict()[key], value, msg=f"{name} {key}")


def test_each_of_both_takes_its_own_steps():
    """Twice as many of C move the extractor alone otherwise, and no parameter stays frozen after them."""
    few, many = method_of(generator_steps=1), method_of(generator_steps=2)
    for method in (few, many):
        method.train_mode(True)
        method.step(adapted_batch(6, 8), Progress(0, 100))
        assert all(p.requires_grad for net in method.networks.values() for p in net.parameters())
    states = [{name: net.state_dict() for name, net in method.networks.items()} for method in (few, many)]
    assert tiny.different(states[0]["extractor"], states[1]["extractor"])
    for name in ("predictor", "second_predictor"):
        assert tiny.different(states[0][name], states[1][name]) == []


@pytest.mark.usefixtures("quick")
def test_it_learns(tmp_path):
    assert accuracy_on_the_embedded_pair("mcd", tmp_path) > 0.5
