"""MDD: its discrepancy in numpy, a step restated as a game of two players, and that it learns."""

import copy

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, assert_gradients, softmax

from genshift import presets
from genshift.methods.mdd import log_one_minus, margin_disparity
from genshift.methods.schedules import Progress, dann_lambda
from genshift.nets.layers import in_domain
from genshift.runs.trained_run import build_method


def method_of(**changes):
    return build_method(presets.get("mdd-usps-mnistm").replaced(width=8, **changes), 10, tiny.FLOAT64, seed=0)


def test_the_published_values():
    """The paper, section 6: γ = 4, and η, which rises to 0.1."""
    preset = presets.get("mdd-usps-mnistm")
    assert (preset.margin, preset.lam, preset.lam_schedule) == (4.0, 0.1, "dann")
    assert all("1904.05801" in preset.origins[name] for name in ("margin", "lam"))
    assert method_of().lam(Progress(50, 100)) == pytest.approx(0.1 * dann_lambda(0.5))


def test_the_disparity_is_the_papers():
    """In probabilities, one image at a time."""
    generator = np.random.default_rng(0)
    logits, labels = 2 * generator.normal(size=(16, 5)), generator.integers(0, 5, 16)
    own = [softmax(logits)[i, labels[i]] for i in range(16)]
    expected = np.mean([np.log(1 - p) for p in own[7:]]) + 4 * np.mean([np.log(p) for p in own[:7]])
    found = margin_disparity(torch.tensor(logits), torch.tensor(labels), 7, 4.0)
    assert found.item() == pytest.approx(expected) and expected < 0


def test_a_certain_answer_has_a_finite_loss_and_gradient():
    """In float32 σ is 1 from logits 17 above the others on; 1 - σ is e^-30 here, and its logarithm -30 + log 2."""
    logits = torch.tensor([[30.0, 0.0, 0.0]], requires_grad=True)
    found = log_one_minus(logits, torch.tensor([0]))
    found.sum().backward()
    assert found.item() == pytest.approx(np.log(2) - 30) and torch.allclose(logits.grad, torch.tensor([[-1, 0.5, 0.5]]))


def test_a_step_is_its_restatement():
    """ψ and f descend L_label + η D_γ, f' ascends D_γ, each by a loss of its own and without a reversal layer."""
    method, batch, progress = method_of(margin=3.0), adapted_batch(6, 8), Progress(30, 100)
    nets = {key: copy.deepcopy(net) for key, net in method.networks.items()}
    assert not torch.equal(nets["auxiliary_predictor"].weight, nets["predictor"].weight)
    method.train_mode(True)
    scalars = method.step(batch, progress)

    views = {domain: batch[domain].x for domain in ("source", "target")}
    features = torch.cat([in_domain(nets["extractor"], domain)(x) for domain, x in views.items()])
    logits = nets["predictor"](features)
    h = logits.argmax(1)

    def d_gamma(own):
        p = own.softmax(1)[range(14), h]
        return (1 - p[6:]).log().mean() + 3 * p[:6].log().mean()

    label = -logits[:6].log_softmax(1)[range(6), batch["source"].y].mean()
    minimised = label + 0.1 * dann_lambda(0.3) * d_gamma(nets["auxiliary_predictor"](features))
    nets["auxiliary_predictor"].requires_grad_(True)
    of_players = torch.autograd.grad(
        minimised, [*nets["extractor"].parameters(), *nets["predictor"].parameters()], retain_graph=True
    )
    for p, grad in zip([*nets["extractor"].parameters(), *nets["predictor"].parameters()], of_players, strict=True):
        p.grad = grad
    maximised = d_gamma(nets["auxiliary_predictor"](features.detach()))
    (-maximised).backward()
    assert scalars["loss_label"].item() == pytest.approx(label.item())
    assert scalars["disparity"].item() == pytest.approx(maximised.item())
    assert_gradients(method.networks, nets, "extractor", "predictor", "auxiliary_predictor")


@pytest.mark.usefixtures("quick")
def test_it_learns(tmp_path):
    assert accuracy_on_the_embedded_pair("mdd", tmp_path) > 0.5
