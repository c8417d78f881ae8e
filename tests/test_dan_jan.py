"""DAN and JAN: their kernels and discrepancies pair by pair in numpy, a step restated, and that they learn."""

import copy

import numpy as np
import pytest
import tiny
import torch
from adapting import accuracy_on_the_embedded_pair, adapted_batch, assert_gradients, softmax

from genshift import presets
from genshift.methods.dan import BANDWIDTHS, mmd, multi_kernel, squared_distances
from genshift.methods.jan import ANSWER_BANDWIDTH, FEATURE_BANDWIDTHS, joint_kernel
from genshift.methods.schedules import Progress, dann_lambda
from genshift.nets.layers import in_domain
from genshift.runs.trained_run import build_method

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(7, 5)) * 2, RNG.normal(size=(9, 5)) + 1
BOTH = np.concatenate([SOURCE, TARGET])
HALF = Progress(50, 100)


def test_the_published_kernels():
    """DAN, section 4.1: 2^-8 to 2^8 in steps of 2^(1/2). JAN's code: five kernels that double, and 1.68."""
    assert len(BANDWIDTHS) == 33 and np.allclose(np.log2(BANDWIDTHS), np.arange(-8, 8.5, 0.5))
    assert FEATURE_BANDWIDTHS == (0.25, 0.5, 1.0, 2.0, 4.0) and ANSWER_BANDWIDTH == 1.68
    dan, jan = (presets.get(f"{name}-usps-mnistm") for name in ("dan", "jan"))
    assert (dan.lam, dan.lam_schedule) == (1.0, "constant") and "lam" not in dan.origins
    assert (jan.lam, jan.lam_schedule) == (1.0, "dann") and "1605.06636" in jan.origins["lam"]


def median_of_pairs(x):
    """The median of the squared distances of two rows; of an even number of pairs the lower one."""
    n = len(x)
    distances = sorted(((x[i] - x[j]) ** 2).sum() for i in range(n) for j in range(i + 1, n))
    return distances[(len(distances) - 1) // 2]


def kernel_of(x, factors):
    """One number at a time."""
    gamma = median_of_pairs(x)
    return np.array([[np.mean([np.exp(-((a - b) ** 2).sum() / (f * gamma)) for f in factors]) for b in x] for a in x])


def discrepancy_of(k, n):
    """Of pairs of different rows of one domain, less those of one row of each."""
    m = len(k) - n
    within_s = [k[i, j] for i in range(n) for j in range(n) if i != j]
    within_t = [k[n + i, n + j] for i in range(m) for j in range(m) if i != j]
    return np.mean(within_s) + np.mean(within_t) - 2 * np.mean([k[i, n + j] for i in range(n) for j in range(m)])


@pytest.mark.parametrize("count", [15, 16])  # 105 and 120 pairs
def test_the_multi_kernel_is_the_papers(count):
    found = multi_kernel(torch.tensor(BOTH[:count]), BANDWIDTHS)
    assert np.allclose(found, kernel_of(BOTH[:count], BANDWIDTHS))


def test_the_joint_kernel_is_a_product():
    answers = softmax(RNG.normal(size=(16, 4)))
    of_answers = np.array([[np.exp(-((a - b) ** 2).sum() / 1.68) for b in answers] for a in answers])
    found = joint_kernel(torch.tensor(BOTH), torch.tensor(answers))
    assert np.allclose(found, kernel_of(BOTH, FEATURE_BANDWIDTHS) * of_answers)


def test_the_discrepancy_is_unbiased():
    """As the definition has it; and over draws from one distribution its mean is 0, where the biased one's is not."""
    k = kernel_of(BOTH, BANDWIDTHS)
    assert mmd(torch.tensor(k), 7).item() == pytest.approx(discrepancy_of(k, 7))
    draws = torch.tensor(np.random.default_rng(1).normal(size=(500, 16, 3)))
    alike = torch.stack([mmd((-squared_distances(x)).exp(), 8) for x in draws])
    assert abs(alike.mean().item()) < 3 * alike.std().item() / 500**0.5 < 0.02
    assert alike.min() < 0


def test_alike_rows_give_no_nan():
    rows = torch.ones(6, 4, requires_grad=True)
    loss = mmd(multi_kernel(rows, BANDWIDTHS), 3)
    loss.backward()
    assert loss.item() == 0 and rows.grad.isfinite().all()


def gaussians(x, factors):
    """The kernels of DAN and JAN by another road: `torch.cdist`, and a sum over them."""
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    gamma = median_of_pairs(x.detach().numpy())
    return sum((-distances / (f * gamma)).exp() for f in factors) / len(factors)


def discrepancy(k, n):
    """By signed weights of pairs."""
    m = len(k) - n
    weights = torch.full_like(k, -1 / (n * m))
    weights[:n, :n], weights[n:, n:] = 1 / (n * (n - 1)), 1 / (m * (m - 1))
    return (weights * k).sum() - 1 / (n - 1) - 1 / (m - 1)  # the diagonals, where k is 1


@pytest.mark.parametrize("name", ["dan", "jan"])
def test_a_step_is_its_restatement(name):
    method = build_method(presets.get(f"{name}-usps-mnistm").replaced(width=8), 10, tiny.FLOAT64, seed=0)
    batch = adapted_batch(6, 8)
    nets = {key: copy.deepcopy(net) for key, net in method.networks.items()}
    method.train_mode(True)
    scalars = method.step(batch, HALF)
    views = {domain: batch[domain].x for domain in ("source", "target")}
    features = torch.cat([in_domain(nets["extractor"], domain)(x) for domain, x in views.items()])
    logits = nets["predictor"](features)
    label = -logits[:6].log_softmax(1)[range(6), batch["source"].y].mean()
    if name == "dan":
        transfer = sum(
            discrepancy(gaussians(rows, [2 ** (u / 2) for u in range(-16, 17)]), 6) for rows in (features, logits)
        )
        weight = 1.0
    else:
        answers = torch.cdist(logits.softmax(1), logits.softmax(1), compute_mode="donot_use_mm_for_euclid_dist")
        kernel = gaussians(features, [0.25, 0.5, 1, 2, 4]) * (-answers.square() / 1.68).exp()
        transfer, weight = discrepancy(kernel, 6), dann_lambda(0.5)
        assert scalars["lam"].item() == pytest.approx(weight)
    (label + weight * transfer).backward()
    assert scalars["loss_label"].item() == pytest.approx(label.item())
    assert scalars["loss_mmd" if name == "dan" else "loss_jmmd"].item() == pytest.approx(transfer.item())
    assert_gradients(method.networks, nets, "extractor", "predictor")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["dan", "jan"])
def test_it_learns(name, tmp_path):
    assert accuracy_on_the_embedded_pair(name, tmp_path) > 0.5
