"""Self-ensembling: its loss in numpy, whom the teacher follows, and that it learns."""

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, softmax

from genshift import presets
from genshift.data.strong import strong_view
from genshift.methods.mean_teacher import agreement
from genshift.methods.schedules import Progress
from genshift.runs.trained_run import build_method


def method_of(**changes):
    preset = presets.get("mean-teacher-usps-mnistm").replaced(width=8, **changes)
    return build_method(preset, 10, tiny.FLOAT64, seed=0)


def test_agreement_is_the_papers():
    generator = np.random.default_rng(0)
    student, teacher = (softmax(2 * generator.normal(size=(9, 4))) for _ in range(2))
    sure = (teacher.max(1) > 0.6).astype(float)
    distance = sum(sure[i] * ((student[i] - teacher[i]) ** 2).sum() / 4 for i in range(9)) / 9
    mean = student.mean(0)
    uneven = -sum(np.log(mean[k]) / 4 + 3 / 4 * np.log(1 - mean[k]) for k in range(4)) * sure.mean()
    found = agreement(*(torch.tensor(each) for each in (student, teacher, sure)))
    assert [each.item() for each in found] == pytest.approx([distance, uneven]) and 0 < sure.sum() < 9


def test_the_teacher_starts_as_the_student_and_follows_it():
    """Weights and source statistics by the half-life in images; target statistics of its own; no gradient."""
    method, batch = method_of(teacher_half_life=12), adapted_batch(6, 8)
    nets = method.networks
    for name in ("extractor", "predictor"):
        assert tiny.different(nets[name].state_dict(), nets[f"student_{name}"].state_dict()) == []
    assert not any(p.requires_grad for p in nets["extractor"].parameters())
    before = {k: v.clone() for k, v in nets["extractor"].state_dict().items()}
    method.train_mode(True)
    method.step(batch, Progress(0, 100))
    teacher, student = nets["extractor"].state_dict(), nets["student_extractor"].state_dict()
    for key in ("blocks.0.conv1.weight", "norm.bias", "norm.source_mean", "norm.source_var"):
        torch.testing.assert_close(teacher[key], before[key] + (1 - 0.5**0.5) * (student[key] - before[key]))
        assert not torch.equal(student[key], before[key]), key
    # Weak views in the teacher, strong ones in the student: the first layer's statistics are of either.
    net = build_method(method.preset, 10, tiny.FLOAT64, seed=0).networks["student_extractor"]
    weak = batch["target"].weak
    for view, seen in ((weak, teacher), (strong_view(weak, batch["target"].draws, 0.5, 0.5), student)):
        mean = net.first(view).mean((0, 2, 3))
        torch.testing.assert_close(seen["blocks.0.norm1.running_mean"], 0.1 * mean.detach())


def test_an_unsure_teacher_teaches_nothing():
    """Below the threshold the step is one on source labels alone, whatever the target is."""
    one, other = method_of(threshold=1.0), method_of(threshold=1.0, consistency=0.0)
    for method, seed in ((one, 0), (other, 0)):
        method.train_mode(True)
        scalars = method.step(adapted_batch(6, 8, seed), Progress(0, 100))
        assert scalars["confident"].item() == 0 and scalars["loss_target"].item() == 0
    students = [method.networks["student_extractor"].state_dict() for method in (one, other)]
    assert tiny.different(*students) == []


@pytest.mark.usefixtures("quick")
def test_it_learns(tmp_path):
    assert accuracy_on_the_embedded_pair("mean-teacher", tmp_path, teacher_half_life=400, threshold=0.6) > 0.5
