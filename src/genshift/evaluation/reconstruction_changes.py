"""What a reconstruction changes of a picture, by a classifier of attributes; which colours it keeps, and whether the
picture's way round."""

from __future__ import annotations

from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.evaluation.feature_distance import FeatureSpace
from genshift.evaluation.findings import Findings
from genshift.metrics import colours
from genshift.metrics.binomial import standard_error
from genshift.metrics.classification import error_of_mean
from genshift.metrics.reconstruction import way_round
from genshift.runs.results import Measure

FLIPS, WAY_ROUND = "attribute_flips", "way_round_kept"
COLOURS = {  # by the measures' names: the part of a picture, and what it is in words
    "border_colour_kept": (colours.border_colour, "of the border, an eighth of the side"),
    "middle_colour_kept": (colours.middle_colour, "of the middle, half as wide and high as the picture"),
}


def measure_changes(found: Findings, judge: FeatureSpace | None, held_out: ImageSet, decoded: Tensor) -> None:
    """Adds how well mean colours are kept, how often the way round, and, where the judge tells attributes, how often
    each is another one after reconstruction. `decoded`: uint8 `[N, C, H, W]` of the held-out pictures, in their order.
    """
    side = held_out.images.shape[-1]
    words = f"{held_out.name}, {len(held_out):,} held-out pictures at {side} px and their reconstructions"
    for name, (mean_colour, part) in COLOURS.items():
        with found.measuring(name):
            value, error = colours.correlation(mean_colour(held_out.images), mean_colour(decoded))
            protocol = f"Pearson's correlation of mean colours {part}, a mean over channels; {words}; std is Fisher's"
            found.results[name] = Measure(value, len(held_out), protocol, error)
    with found.measuring(WAY_ROUND):
        kept = way_round(held_out.images, decoded).double().mean().item()
        protocol = (
            f"share of reconstructions nearer to their picture than to its mirror image, by squared error; {words}"
        )
        found.results[WAY_ROUND] = Measure(kept, len(held_out), protocol, standard_error(kept, len(held_out)), 0.5)
    if judge is None or judge.attributes is None:
        return
    with found.measuring(FLIPS):
        before, after = judge.attributes(held_out.images).cpu(), judge.attributes(decoded).cpu()
        flipped = (before != after).double()
        # Where the judge itself errs: on the pictures as they are, by their own attributes.
        wrong = None
        if held_out.attributes is not None and held_out.attribute_names == judge.classes:
            wrong = (before != (held_out.attributes.cpu() > 0)).double()
        floor = None if wrong is None else wrong.mean().item()
        protocol = (
            f"share of {len(judge.classes)} attributes that {judge.name} sees otherwise after reconstruction; {words}; "
            "std is the standard error over pictures; floor: how often it errs on the pictures as they are"
        )
        by_image = flipped.mean(1)
        found.results[FLIPS] = Measure(by_image.mean().item(), len(held_out), protocol, error_of_mean(by_image), floor)
        shares = flipped.mean(0).tolist()
        errors = [None] * len(shares) if wrong is None else wrong.mean(0).tolist()
        found.record["attribute_changes"] = [
            {
                "attribute": name,
                "n": len(held_out),
                "flipped": share,
                "error": standard_error(share, len(held_out)),
                "judge_errs": errs,
            }
            for name, share, errs in zip(judge.classes, shares, errors, strict=True)
        ]
