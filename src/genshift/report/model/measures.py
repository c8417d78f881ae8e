"""What each metric of results.json is called, how it is written, which way is better, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

TARGET_ACCURACY = "oracle/target_test_accuracy"
DOMAIN_PROBE, CLASS_PROBE = "domain_probe_accuracy", "oracle/class_probe_accuracy"
# Measures with tables of their own: across families of generators, over training ("latent_probe/first"), and of GANs.
ACROSS_FAMILIES = {"frechet": "frechet_1000", "precision": "precision_1000", "recall": "recall_1000"}
OVER_TRAINING = ("latent_probe", "latent_kl_with", "latent_kl_without")
STABILITY = ("discriminator_loss_spread", "alarmed")
BOOKKEEPING = {"cpu_minutes", "images_per_second"}  # in results.json, and no figure of merit
Better = Literal["higher", "lower", "as real", "neither"]


@dataclass(frozen=True)
class Metric:
    """A metric's title for a table's head, and its meaning for the note below it.

    `percent`: the value is a share in [0, 1] that is written in percent. `bar` says what the std of one run is: a
    standard error over pictures, or the deviation over several series of samples. "as real" is best where it is nearest
    to its floor, the same measure of real pictures.
    """

    title: str
    better: Better
    meaning: str
    percent: bool = False
    bar: Literal["", "se", "samples"] = ""

    @property
    def head(self) -> str:
        """The title with its unit."""
        return f"{self.title}, %" if self.percent else self.title


METRICS = {
    "class_accuracy": Metric(
        "right class",
        "higher",
        "the share of generated pictures that a classifier takes for the class that was asked for",
        percent=True,
        bar="samples",
    ),
    "shown_class_accuracy": Metric(
        "right class, as shown",
        "higher",
        "the same share of the pictures that are shown of each class, drawn by the preset's own sampler",
        percent=True,
        bar="se",
    ),
    "frechet": Metric(
        "Fréchet",
        "lower",
        "the distance of generated from real pictures in a classifier's features, both taken for Gaussian",
        bar="samples",
    ),
    "frechet_normal_prior": Metric(
        "Fréchet, N(0, I)", "lower", "the same distance of pictures that are drawn from N(0, I)", bar="samples"
    ),
    "precision": Metric(
        "precision", "higher", "the share of generated pictures that lie among real ones", bar="samples"
    ),
    "recall": Metric("recall", "higher", "the share of real pictures that lie among generated ones", bar="samples"),
    "fid": Metric("FID", "lower", "the Fréchet distance in Inception's features", bar="samples"),
    "kid": Metric("KID", "lower", "the kernel distance in Inception's features", bar="samples"),
    "inception_precision": Metric(
        "precision (Inception)", "higher", "precision in Inception's features", bar="samples"
    ),
    "inception_recall": Metric("recall (Inception)", "higher", "recall in Inception's features", bar="samples"),
    "face_rate": Metric(
        "face rate", "higher", "the share of pictures in which dlib's detector finds a face", percent=True, bar="se"
    ),
    "sharpness": Metric(
        "sharpness",
        "as real",
        "the variance of the Laplacian: noise raises it as detail does, so real pictures' is best",
        bar="samples",
    ),
    "nearest_train": Metric(
        "nearest in training",
        "neither",
        "the median distance to the nearest training picture over that of held-out real ones; near 0 means copies",
        bar="samples",
    ),
    "copies": Metric(
        "copies",
        "lower",
        "the share of pictures whose nearest training picture is under a third as far as the next",
        percent=True,
        bar="samples",
    ),
    "reconstruction_mse": Metric(
        "reconstruction MSE",
        "lower",
        "the mean squared error of held-out pictures' reconstructions, pixels in [0, 1]",
        bar="se",
    ),
    "psnr": Metric("PSNR, dB", "higher", "that error in decibels below the largest", bar="se"),
    "ssim": Metric(
        "SSIM", "higher", "how alike the structure of pictures and their reconstructions is, 1 for the same", bar="se"
    ),
    "repeats": Metric(
        "repeats",
        "lower",
        "the share of generated pictures that lie nearer to another of them than any two real pictures to each other",
        percent=True,
        bar="samples",
    ),
    "discriminator_loss_spread": Metric(
        "spread of D's loss", "neither", "the standard deviation of the discriminator's loss over training", bar="se"
    ),
    "alarmed": Metric(
        "alarmed",
        "lower",
        "the share of the readings of training in which the discriminator had won or the generator had collapsed",
        percent=True,
        bar="se",
    ),
    "border_colour_kept": Metric(
        "border colour kept",
        "higher",
        "the correlation of mean colours of pictures' borders, mostly background, with those of their reconstructions",
        bar="se",
    ),
    "middle_colour_kept": Metric(
        "middle colour kept", "higher", "the same of pictures' middles, a face's skin for the most part", bar="se"
    ),
    "way_round_kept": Metric(
        "way round kept",
        "higher",
        "the share of reconstructions that are nearer to their picture than to its mirror image, so that a head's "
        "direction and its light are kept; its floor is chance",
        percent=True,
        bar="se",
    ),
    "attribute_flips": Metric(
        "attributes changed",
        "lower",
        "the share of attributes that a classifier sees otherwise after reconstruction; its floor is how often that "
        "classifier errs on the pictures as they are",
        percent=True,
        bar="se",
    ),
    "latent_probe": Metric(
        "Male by a probe",
        "neither",
        "how often a linear probe of the latent vectors tells held-out pictures with the attribute from those without",
        percent=True,
        bar="se",
    ),
    "latent_kl_with": Metric(
        "nats from N(0, I), Male", "lower", "how far the latent vectors of pictures with the attribute lie from N(0, I)"
    ),
    "latent_kl_without": Metric("nats from N(0, I), others", "lower", "the same of the pictures without the attribute"),
    "frechet_1000": Metric("Fréchet, n = 1,000", "lower", "the Fréchet distance of 1,000 pictures", bar="samples"),
    "precision_1000": Metric("precision, n = 1,000", "higher", "precision of 1,000 pictures", bar="samples"),
    "recall_1000": Metric("recall, n = 1,000", "higher", "recall of 1,000 pictures", bar="samples"),
    "evaluations_per_image": Metric(
        "network evaluations",
        "lower",
        "how many times a picture passes through the network while it is drawn, both branches of guidance counted",
    ),
    "seconds_per_image": Metric("seconds a picture", "lower", "the time that drawing one takes, many at once"),
    "shown_evaluations_per_image": Metric(
        "network evaluations, as shown", "lower", "the same of the pictures that are shown of each class"
    ),
    "shown_seconds_per_image": Metric(
        "seconds a picture, as shown", "lower", "the time that drawing one of those takes"
    ),
    "gflop_per_image": Metric(
        "GFLOP a picture", "lower", "the network's floating-point operations for one, in thousands of millions"
    ),
    "attribute_accuracy": Metric(
        "attribute accuracy",
        "higher",
        "the share of right answers over all attributes; its floor gives every picture the commoner answer",
        percent=True,
        bar="se",
    ),
    "test_accuracy": Metric(
        "test accuracy", "higher", "the share of test pictures classified right", percent=True, bar="se"
    ),
    TARGET_ACCURACY: Metric(
        "target test accuracy", "higher", "the share of target images classified right", percent=True, bar="se"
    ),
    "audit/accuracy": Metric(
        "target accuracy by a few labels",
        "higher",
        "the share of the run's target classified right, by labels of a few of its pictures; the protocol has the "
        "interval",
        percent=True,
        bar="se",
    ),
    "audit/balanced_accuracy": Metric(
        "the same, balanced",
        "higher",
        "the mean over classes of that share, by the same labels",
        percent=True,
        bar="se",
    ),
    DOMAIN_PROBE: Metric(
        "domain by a probe",
        "lower",
        "how often a linear probe of the features tells held-out source from target images; 50% is mixed",
        percent=True,
        bar="se",
    ),
    CLASS_PROBE: Metric(
        "class by a probe",
        "higher",
        "how often a linear probe of the target's features, taught with its labels, tells held-out images' classes: "
        "what the features hold, whatever the classifier makes of it",
        percent=True,
        bar="se",
    ),
    "estimate/verdict": Metric(
        "estimated accuracy",
        "higher",
        "target accuracy by the verdict, without a target label; ± is the half of its 95% interval over 1.96",
        percent=True,
        bar="se",
    ),
    "oracle/calibration_error": Metric(
        "calibration error",
        "lower",
        "how far confidence, as it is told, is from the share that is right",
        percent=True,
    ),
    "oracle/calibration_error_raw": Metric(
        "of softmax alone",
        "lower",
        "how far the network's own softmax is from the share that is right",
        percent=True,
    ),
    "oracle/lost_to_blur": Metric(
        "lost to blur",
        "lower",
        "the accuracy of the sharpest third less that of the most blurred",
        percent=True,
        bar="se",
    ),
    "oracle/lost_to_neighbours": Metric(
        "lost to neighbours",
        "lower",
        "the accuracy of the third with the least beside the digit less that of the third with the most",
        percent=True,
        bar="se",
    ),
}
FLOOR_NOTE = "the same of real pictures, of a distance between two halves of them: a perfect generator would reach it."


def metric_of(metric: str) -> Metric:
    """A known metric; of an unknown one only its name, and percent where it is an accuracy."""
    known = METRICS.get(metric) or METRICS.get(metric.partition("/")[0])
    if known is not None:
        return known
    share = metric.endswith("accuracy")
    return Metric(metric, "neither", "", percent=share, bar="se" if share else "")


def ordered(metrics: Iterable[str]) -> list[str]:
    """Known metrics in the order of the catalogue, others after them by name; no bookkeeping, and none that has a table
    of its own."""
    places = {name: place for place, name in enumerate(METRICS)}
    apart = BOOKKEEPING.union(ACROSS_FAMILIES.values(), STABILITY)
    columns = {name for name in set(metrics) - apart if name.partition("/")[0] not in OVER_TRAINING}
    return sorted(columns, key=lambda name: (places.get(name, len(places)), name))


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with two digits, without its sign."""
    return f"{100 * share:.2f}"


def shown(metric: str, value: float) -> str:
    """A value as tables write it: percent for a share that is one, four digits otherwise."""
    if metric_of(metric).percent:
        return percent(value)
    # Four digits of a larger number would be written with an exponent.
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def shown_published(metric: str, value: float) -> str:
    """A published value with its unit, in no more digits than it was published with (accuracies: two)."""
    if metric.endswith("accuracy"):
        return f"{value:.2%}"
    return f"{100 * value:.4g}%" if metric_of(metric).percent else f"{value:.4g}"


def best(metric: str, values: dict[int, float], floor: float | None) -> set[int]:
    """The keys of the best of at least two values; none where none is better."""
    better = metric_of(metric).better
    # Of values that are all the same, none is worth a mark.
    if len(set(values.values())) < 2 or better == "neither" or (better == "as real" and floor is None):
        return set()
    if better == "as real":
        costs = {key: abs(value - (floor or 0.0)) for key, value in values.items()}
    else:
        costs = {key: value if better == "lower" else -value for key, value in values.items()}
    return {key for key, cost in costs.items() if cost == min(costs.values())}


def worse(metric: str, value: float, other: float) -> bool:
    """Whether a value is on the wrong side of another; False for a metric of which neither side is."""
    better = metric_of(metric).better
    return (better == "higher" and value < other) or (better == "lower" and value > other)
