"""What the interval of `genshift evaluate --labels` is worth: simulated draws of a few labels, whose truth is known.

    python benchmarks/labels.py --draws 1000 --count 50
    python benchmarks/labels.py predicted.csv truth.csv …       # your own runs: what `predict` wrote, and the labels

Without files, six sets of predictions are drawn on: those of a softmax regression of the embedded digits on noisy and
half inverted ones (real classifiers with real confidences), and synthetic ones whose confidence tells much, little or
nothing. Printed for each: how often the 95% interval holds the truth, its mean width, and that of Clopper and Pearson's
and Wilson's over as many labels of a simple random sample.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression

from genshift.data import load
from genshift.evaluation.labels import drawing_order, strata_of
from genshift.metrics.binomial import interval as wilson
from genshift.metrics.labelled_share import balanced_share, labelled_share

Floats = NDArray[np.float64]
SIZE = 6_000  # pictures of a synthetic target
LEARNT = 300  # of the embedded digits; the others are the target


@dataclass(frozen=True)
class Known:
    """Predictions whose truth is known. right: bool `[N]`; confidence: `[N]`; labels: int64 `[N]`."""

    name: str
    right: NDArray[np.bool_]
    confidence: Floats
    labels: NDArray[np.int64]

    @property
    def auroc(self) -> float:
        """How often a right prediction is the surer one of two."""
        order = np.argsort(np.argsort(self.confidence, kind="stable"), kind="stable") + 1
        n, wrong = int(self.right.sum()), int((~self.right).sum())
        return float((order[self.right].sum() - n * (n + 1) / 2) / (n * wrong))


def synthetic(accuracy: float, slope: float, scale: float, seed: int = 0) -> Known:
    """Whose log-odds of being right rise by `slope` for each standard deviation of log-confidence, of which `scale`
    makes the confidence that is told: 1 is calibrated but for its middle, more is too sure."""
    random = np.random.default_rng(seed)
    z = random.standard_normal(SIZE)
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(middle + slope * z).mean() < accuracy else (low, middle)
    right = random.random(SIZE) < expit(low + slope * z)
    return Known(f"synthetic, slope {slope:g}", right, expit(scale * (2 + slope * z)), random.integers(0, 10, SIZE))


def digits(name: str, noise: float, mix: float = 0.0) -> Known:
    """A softmax regression of the embedded digits on others of them with noise of that deviation, and a share `mix` of
    pixels' values inverted."""
    known = load("uci", "train", size=8, colour="grey")
    assert known.labels is not None
    pixels, labels = known.images.flatten(1).numpy() / 255.0, known.labels.numpy()
    x, other = pixels[:LEARNT], pixels[LEARNT:]
    random = np.random.default_rng(0)
    other = (1 - mix) * other + mix * (1 - other) + noise * random.standard_normal(other.shape)
    model = LogisticRegression(max_iter=200).fit(x, labels[:LEARNT])
    probabilities, labels = model.predict_proba(other), labels[LEARNT:]
    return Known(f"embedded digits, {name}", probabilities.argmax(1) == labels, probabilities.max(1), labels)


def six() -> Iterator[Known]:
    """Between 30 and 98% right."""
    yield digits("noisy", 0.35)
    yield digits("half inverted", 0.15, 0.42)
    yield synthetic(0.30, 1.5, 3.0)
    yield synthetic(0.70, 0.0, 2.0)
    yield synthetic(0.87, 2.0, 1.0)
    yield synthetic(0.98, 1.5, 4.0)


def read(predicted: Path, truth: Path) -> Known:
    """What `genshift predict` wrote, held against labels."""
    with truth.open(encoding="utf-8", newline="") as file:
        labels = {row["image_name"]: row["label"] for row in csv.DictReader(file)}
    with predicted.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image_name"] in labels]
    wanted = np.array([labels[row["image_name"]] for row in rows])
    confidence = np.array([float(row["confidence"]) for row in rows])
    right = wanted == np.array([row["label"] for row in rows])
    return Known(predicted.stem, right, confidence, np.unique(wanted, return_inverse=True)[1])


def clopper_pearson(right: int, n: int) -> tuple[float, float]:
    """The exact 95% interval of a binomial share."""
    low = 0.0 if right == 0 else float(beta.ppf(0.025, right, n - right + 1))
    return low, 1.0 if right == n else float(beta.ppf(0.975, right + 1, n - right))


def simulate(known: Known, draws: int, count: int) -> dict[str, float]:
    """Coverage and mean widths over so many draws of `count` labels."""
    truth = float(known.right.mean())
    by_class = np.bincount(known.labels, known.right) / np.maximum(np.bincount(known.labels), 1)
    stratum = strata_of(torch.from_numpy(known.confidence), count)
    random = np.random.default_rng(1)
    rows = []
    for seed in range(draws):
        drawn = drawing_order(stratum, seed)[:count].numpy()
        right, labels = known.right[drawn], known.labels[drawn]
        share = labelled_share(right, drawn, stratum.numpy(), known.confidence)
        _, low, high = balanced_share(right, labels, len(known.right))
        balanced = float(by_class[np.unique(labels)].mean())  # of the classes that were seen, of which it speaks
        simple = int(random.hypergeometric(known.right.sum(), (~known.right).sum(), count))
        exact, score = clopper_pearson(simple, count), wilson(simple / count, count)
        held = share.low <= truth <= share.high
        rows.append(
            (
                held,
                share.high - share.low,
                exact[1] - exact[0],
                score[1] - score[0],
                low <= balanced <= high,
                high - low,
            )
        )
    names = ("coverage", "width", "exact", "wilson", "balanced_coverage", "balanced_width")
    return dict(zip(names, np.mean(np.array(rows, dtype=float), axis=0).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="pairs: what predict wrote, and the labels")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--count", type=int, default=50)
    args = parser.parse_args()
    sets = [read(*pair) for pair in zip(args.files[::2], args.files[1::2], strict=True)] or six()
    head = ("right", "AUROC", "coverage", "width", "of exact", "of Wilson", "balanced: coverage", "width")
    print(f"{args.draws:,} draws of {args.count} labels".ljust(32), "  ".join(head))
    found = []
    for known in sets:
        got = simulate(known, args.draws, args.count)
        found.append(got["coverage"])
        ours, exact, score = got["width"], got["exact"], got["wilson"]
        columns = [(known.right.mean(), 5), (known.auroc, 5), (got["coverage"], 8), (ours, 5), (ours / exact, 8)]
        columns += [(ours / score, 9), (got["balanced_coverage"], 18), (got["balanced_width"], 5)]
        print(known.name.ljust(32), "  ".join(f"{value:{width}.3f}" for value, width in columns), flush=True)
    print(f"pooled coverage {np.mean(found):.4f}, least {min(found):.4f}")


if __name__ == "__main__":
    main()
