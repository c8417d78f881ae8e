"""SHOT: its losses and labels in numpy, its two phases, that the second sees no source image, and that it learns."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, softmax

from genshift import presets
from genshift.data.feed import TrainingSet
from genshift.methods.schedules import Progress
from genshift.methods.shot import class_centroids, information, nearest
from genshift.runs.trained_run import build_method

EARLY, LATE = Progress(0, 100), Progress(50, 100)


def method_of(**changes):
    method = build_method(presets.get("shot-usps-mnistm").replaced(width=8, **changes), 10, tiny.FLOAT64, seed=0)
    method.begin({"target": TrainingSet(tiny.digits(30, 1).sealed(), 8)})
    method.train_mode(True)
    return method


def test_information_is_the_papers():
    z = 2 * np.random.default_rng(0).normal(size=(9, 5))
    p = softmax(z)
    expected = -(p * np.log(p)).sum(1).mean() + (p.mean(0) * np.log(p.mean(0))).sum()
    assert information(torch.tensor(z)).item() == pytest.approx(expected)


def test_centroids_and_labels_are_the_papers():
    """One image at a time; a class that no image is nearest to keeps its first centroid."""
    generator = np.random.default_rng(1)
    features, answers = np.abs(generator.normal(size=(12, 6))), softmax(3 * generator.normal(size=(12, 4)))
    answers[:, 3] = 1e-9  # spread over all: a mean that no image is near to

    def label(f, centroids):
        cosine = [1 - f @ c / np.linalg.norm(f) / np.linalg.norm(c) for c in centroids]
        return int(np.argmin(cosine))

    first = np.array([(answers[:, k : k + 1] * features).sum(0) / answers[:, k].sum() for k in range(4)])
    labels = [label(f, first) for f in features]
    second = [features[np.array(labels) == k].mean(0) if k in labels else first[k] for k in range(4)]
    found = class_centroids(torch.tensor(features), torch.tensor(answers))
    assert np.allclose(found, second)
    assert nearest(torch.tensor(features), found).tolist() == [label(f, second) for f in features]


def test_pretraining_smooths_labels():
    method, batch = method_of(), adapted_batch(6, 8)
    nets = {name: copy.deepcopy(net) for name, net in method.networks.items()}
    scalars = method.step(batch, EARLY)
    logits = nets["predictor"](nets["extractor"](batch["source"].x)).detach().numpy()
    q = 0.9 * np.eye(10)[batch["source"].y] + 0.1 / 10
    assert scalars["loss_label"].item() == pytest.approx(-(q * np.log(softmax(logits))).sum(1).mean())
    assert tiny.different(method.networks["anchor"].state_dict(), nets["anchor"].state_dict()) == []


def test_adaptation_sees_no_source_and_moves_the_extractor_alone():
    """The second phase with a source of NaN; its loss, and the labels that the anchor tells, restated."""
    method, batch = method_of(), adapted_batch(6, 8)
    method.step(batch, EARLY)
    nets = {name: copy.deepcopy(net) for name, net in method.networks.items()}
    poisoned = replace(batch["source"], x=torch.full_like(batch["source"].x, torch.nan), y=None)
    scalars = method.step({"source": poisoned, "target": batch["target"]}, LATE)

    anchor, x = copy.deepcopy(nets["extractor"]).eval(), batch["target"].x
    assert tiny.different(method.networks["anchor"].state_dict(), anchor.state_dict()) == []
    features = anchor(method.rule(tiny.digits(30, 1).images, method.arithmetic))
    centroids = class_centroids(features, nets["predictor"](features).softmax(1))
    torch.testing.assert_close(method.networks["centroids"].value, centroids.detach())
    labels = nearest(anchor(x), centroids)
    logits = nets["predictor"](nets["extractor"](x))
    loss = information(logits) - 0.1 * logits.log_softmax(1)[range(8), labels].mean()
    loss.backward()
    pseudo = -logits.log_softmax(1)[range(8), labels].mean()
    assert scalars["loss_pseudo"].item() == pytest.approx(pseudo.item())
    assert scalars["loss_information"].item() == pytest.approx((loss - 0.1 * pseudo).item())
    for p, q in zip(method.networks["extractor"].parameters(), nets["extractor"].parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    assert tiny.different(method.networks["predictor"].state_dict(), nets["predictor"].state_dict()) == []


def test_labels_are_told_anew_so_many_times():
    method, batch = method_of(labellings=4, pretrain=0.2), adapted_batch(6, 8)
    told = []
    for images in range(25, 100, 10):
        method.step(batch, Progress(images, 100))
        told.append(int(method.networks["centroids"].labelling))
    assert told == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.usefixtures("quick")
def test_it_learns(tmp_path):
    assert accuracy_on_the_embedded_pair("shot", tmp_path, pretrain=0.7, pretrain_lr=4e-3, lr=1e-3) > 0.5
