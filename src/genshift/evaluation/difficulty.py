"""Which pictures of a target are got wrong: the blurred ones, and of house numbers those with a neighbour."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.evaluation.findings import Findings
from genshift.metrics.binomial import standard_error
from genshift.metrics.edges import side_edges
from genshift.metrics.sharpness import sharpness
from genshift.runs.forms import DifficultyRow
from genshift.runs.results import Measure

THIRDS = 3
WITH_NEIGHBOURS = ("svhn",)  # sets whose pictures show parts of other digits beside the one that is meant
# By the measures' names: what pictures are ordered by, the name of the lowest and of the highest third, and in words.
ORDERS = {
    "oracle/lost_to_blur": (sharpness, "most blurred", "sharpest", "the variance of the Laplacian of luma"),
    "oracle/lost_to_neighbours": (
        lambda images: -side_edges(images), "most beside the digit", "least beside it",
        "the gradient's square in the left and the right quarter, over that of the picture",
    ),
}  # fmt: skip


def measure_difficulty(found: Findings, images: ImageSet, right: Tensor) -> None:
    """Adds the accuracy of thirds of house numbers by blur and by what stands beside the digit, and what is lost from
    the easiest to the hardest third. `right`: whether each is classified right, bool `[N]`. Nothing of other sets."""
    if images.name.partition(":")[0] not in WITH_NEIGHBOURS:
        return
    rows: list[DifficultyRow] = []
    for name, (order, hardest, easiest, words) in ORDERS.items():
        with found.measuring(name):
            thirds = order(images.images).argsort(stable=True).tensor_split(THIRDS)
            shares = [right.cpu()[third].double().mean().item() for third in thirds]
            counts = [len(third) for third in thirds]
            errors = [standard_error(share, count) for share, count in zip(shares, counts, strict=True)]
            protocol = (
                f"accuracy of the third of {len(images):,} images of {images.name} that is {easiest} less that of the "
                f"third that is {hardest}, by {words}; std is the binomial error of the difference"
            )
            error = torch.tensor([errors[0], errors[-1]]).norm().item()
            found.results[name] = Measure(shares[-1] - shares[0], counts[0] + counts[-1], protocol, error)
            titles = (hardest, "between", easiest)
            rows += [
                {"third": title, "n": count, "accuracy": share, "error": own}
                for title, count, share, own in zip(titles, counts, shares, errors, strict=True)
            ]
    found.record["difficulty"] = rows
