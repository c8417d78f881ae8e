"""FixMatch: its loss in numpy, a whole step restated, and that it learns."""

import copy

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, assert_gradients, softmax

from genshift import presets
from genshift.data.strong import strong_view
from genshift.methods.fixmatch import consistency
from genshift.methods.schedules import Progress
from genshift.runs.trained_run import build_method


def test_the_published_values():
    """τ = 0.95 and λ_u = 1 (section 4); and ours: three target images for one of the source, as AdaMatch has them."""
    preset = presets.get("fixmatch-usps-mnistm")
    assert (preset.threshold, preset.consistency) == (0.95, 1.0)
    assert all("2001.07685" in preset.origins[name] for name in ("threshold", "consistency", "statistics"))
    assert (preset.batch_source, preset.batch_target, preset.strong, preset.statistics) == (32, 96, 0.0, "mixed")


def test_consistency_is_the_papers():
    """Equation 4, one image at a time; at the threshold itself an image counts."""
    weak, strong = np.random.default_rng(0).normal(size=(2, 9, 4)) * 2
    weak[0] = np.log([0.7, 0.1, 0.1, 0.1])
    q, p = softmax(weak), softmax(strong)
    terms = [(q[i].max() >= 0.7 - 1e-12) * -np.log(p[i, q[i].argmax()]) for i in range(9)]
    loss, counts = consistency(torch.tensor(weak), torch.tensor(strong), 0.7 - 1e-12)
    assert loss.item() == pytest.approx(sum(terms) / 9)
    assert counts.tolist() == [float(term > 0) for term in terms] and 1 < counts.sum() < 9
    assert consistency(torch.zeros(1, 2), torch.zeros(1, 2), 0.5)[1].tolist() == [1.0]


def test_a_step_is_its_restatement():
    """The whole loss by another road: its gradient is the one that the step leaves behind."""
    preset = presets.get("fixmatch-usps-mnistm").replaced(
        width=8, threshold=0.133, consistency=0.7, strong_recolour=1.0
    )
    method = build_method(preset, 10, tiny.FLOAT64, 0)
    batch = adapted_batch(6, 8)
    nets = {name: copy.deepcopy(net) for name, net in method.networks.items()}
    method.train_mode(True)
    scalars = method.step(batch, Progress(30, 100))

    source, target = batch["source"], batch["target"]
    strong = strong_view(target.x, target.draws, 0.5, 0.5, recolour=1.0)
    logits = nets["predictor"](nets["extractor"](torch.cat([source.x, target.x, strong])))
    label = -logits[:6].log_softmax(1)[range(6), source.y].mean()
    q = softmax(logits[6:14].detach().numpy())
    sure = torch.tensor(q.max(1) >= 0.133)
    loss_target = (-logits[14:].log_softmax(1)[range(8), q.argmax(1)] * sure).sum() / 8
    (label + 0.7 * loss_target).backward()
    assert scalars["loss_label"].item() == pytest.approx(label.item())
    assert scalars["loss_target"].item() == pytest.approx(loss_target.item()) and 0 < sure.sum() < 8
    assert scalars["confident"].item() == pytest.approx(sure.double().mean().item())
    assert_gradients(method.networks, nets, "extractor", "predictor")
    statistics = {key: value for key, value in nets["extractor"].state_dict().items() if "running" in key}
    for key, value in statistics.items():  # one pass of all views
        torch.testing.assert_close(method.networks["extractor"].state_dict()[key], value, msg=key)


@pytest.mark.usefixtures("quick")
def test_it_learns(tmp_path):
    """Over more steps than others take, and with a threshold that they reach: until then it is source-only."""
    assert accuracy_on_the_embedded_pair("fixmatch", tmp_path, steps=200, threshold=0.6) > 0.55
