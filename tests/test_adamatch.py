"""AdaMatch: each equation in numpy, a whole step restated, its statistics, and that it learns."""

import copy

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, softmax

from genshift import presets
from genshift.data.strong import strong_view
from genshift.methods.adamatch import HALF_LIFE, interpolated, pseudo_labels, ramp
from genshift.methods.schedules import Progress
from genshift.runs.trained_run import build_method


def test_pseudo_labels_are_the_papers():
    generator = np.random.default_rng(0)
    source, target = generator.normal(size=(7, 4)) * 2, generator.normal(size=(9, 4)) * 2 + [1, 0, 0, 0]
    ps, pt = softmax(source), softmax(target)
    ratio = ps.mean(0) / pt.mean(0)
    aligned = pt * ratio
    aligned = aligned / aligned.sum(1, keepdims=True)
    counts = aligned.max(1) >= 0.9 * ps.max(1).mean()
    labels, mask = pseudo_labels(*(torch.tensor(each) for each in (source, target, ratio)), 0.9)
    assert labels.tolist() == aligned.argmax(1).tolist() != pt.argmax(1).tolist()
    assert np.array_equal(mask.numpy().astype(bool), counts) and 0 < counts.sum() < len(counts)


def test_interpolation_and_ramp():
    a, b, lam = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]]), torch.tensor([[0.25, 1.0]])
    assert torch.equal(interpolated(a, b, lam), torch.tensor([[2.5, 2.0]]))
    assert [ramp(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx([0, 0.5, 1, 1, 1])


def test_a_target_of_which_nothing_is_labelled_is_an_alarm():
    method = build_method(presets.get("adamatch-usps-mnistm").replaced(width=8), 10, tiny.FLOAT64, 0)
    assert method.alarms({"mu": 0.4, "confident": 0.0}) == {} == method.alarms({"mu": 1.0, "confident": 0.02})
    assert "try --alignment 0" in method.alarms({"mu": 1.0, "confident": 0.001})["target unlabelled"]


@pytest.mark.parametrize("role", ["adamatch", "adamatch-im"])
def test_a_step_is_its_restatement(role):
    """The whole loss by another road: its gradient is the one that the step leaves behind."""
    preset = presets.get(f"{role}-usps-mnistm").replaced(width=8, threshold=0.8)
    method = build_method(preset, 10, tiny.FLOAT64, 0)
    batch, progress = adapted_batch(6, 8), Progress(30, 100)
    net, head = (copy.deepcopy(method.networks[name]) for name in ("extractor", "predictor"))
    method.train_mode(True)
    scalars = method.step(batch, progress)

    source, target = batch["source"], batch["target"]
    views = [(b.x, strong_view(b.x, b.draws, 0.5, 0.5)) for b in (source, target)]
    joint = head(net(torch.cat([*views[0], *views[1]])))
    running = {k: v.clone() for k, v in net.state_dict().items() if "running" in k}
    alone = head(net(torch.cat(views[0])))
    u = source.draws.uniform("interpolation", 2, 10).double()  # [image, view, class]
    lam = torch.cat([u[:, 0], u[:, 1]])
    z = lam * joint[:12] + (1 - lam) * alone
    y = source.y
    label = -z.log_softmax(1)[range(12), torch.cat([y, y])].mean()
    ps, pt = softmax(z[:6].detach().numpy()), softmax(joint[12:20].detach().numpy())
    weight = 1 - 0.5 ** (6 / HALF_LIFE)  # of the running means, which were 1/10
    means = [0.1 + weight * (p.mean(0) - 0.1) for p in (ps, pt)]
    aligned = pt * (means[0] if role == "adamatch" else 0.1) / means[1]
    aligned /= aligned.sum(1, keepdims=True)
    mask = aligned.max(1) >= 0.8 * ps.max(1).mean()
    terms = -joint[20:].log_softmax(1)[range(8), aligned.argmax(1)]
    torch.testing.assert_close(method.networks["frequencies"].target, torch.tensor(means[1]))
    loss_target = (terms * torch.tensor(mask)).sum() / 8
    mu = 0.5 - np.cos(2 * np.pi * 0.3) / 2
    answers = joint[12:20].softmax(1)
    unsure, even = (-(p * p.log()).sum(-1) for p in (answers, answers.mean(0)))
    information = unsure.mean() - even if role == "adamatch-im" else 0.0
    (label + mu * (loss_target + information)).backward()

    assert scalars["loss_label"].item() == pytest.approx(label.item())
    assert scalars["loss_target"].item() == pytest.approx(loss_target.item()) and mask.any()
    for own, other in ((method.networks["extractor"], net), (method.networks["predictor"], head)):
        for (name, p), q in zip(own.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, msg=name)
    # The running statistics followed the pass of both domains, and not the source's.
    for name, value in running.items():
        torch.testing.assert_close(method.networks["extractor"].state_dict()[name], value, msg=name)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("role", ["adamatch", "adamatch-im"])
def test_it_learns(role, tmp_path):
    assert accuracy_on_the_embedded_pair(role, tmp_path) > 0.55
