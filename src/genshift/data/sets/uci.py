"""Two domains that need no download, from the digits and photos that come with scikit-learn: `uci` and `uci-m`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from genshift.data.dataset import DIGITS, RESIZED, DataSet, Location, ReadOptions, register
from genshift.papers import Paper

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from genshift.data.imageset import ImageSet

SEED = 1998  # of the split and of the blend; the sets have no free parameter
TEST_PER_CLASS = 20
INK = 128  # of 255: an enlarged digit is smooth, and its ink is where it is darker than half

UCI_PAPER = Paper(
    "alpaydin1998digits",
    "Alpaydin, Ethem and Kaynak, Cenk",
    "Optical Recognition of Handwritten Digits",
    "UCI Machine Learning Repository",
    1998,
    kind="misc",
)


def read_uci(location: Location, options: ReadOptions) -> ImageSet:
    """Images `[N, 1, 28, 28]`, labels 0 to 9."""
    return _digits("uci", options)


def read_uci_m(location: Location, options: ReadOptions) -> ImageSet:
    """The other half of the digits, blended with photos by MNIST-M's recipe: images `[N, 3, 28, 28]`."""
    from dataclasses import replace

    import torch

    from genshift.data.blend import blend

    digits = _digits("uci-m", options)
    # MNIST-M's recipe takes a digit as ink or none.
    ink = (digits.images[:, 0] >= INK).to(torch.uint8) * 255
    return replace(digits, images=torch.from_numpy(blend(ink.numpy(), photos(options.split), SEED, options.split)))


def _digits(name: str, options: ReadOptions) -> ImageSet:
    import torch

    from genshift.data.imageset import ImageSet

    values, targets = sklearn_digits()
    rows = digit_rows(name, options.split)
    labels = torch.from_numpy(targets[rows]) if options.labels else None
    return ImageSet(name, enlarge(values[rows]), labels, DIGITS)


@lru_cache(maxsize=1)
def sklearn_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """scikit-learn's 1,797 digits: values 0 to 16, `[N, 8, 8]`, and labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target.astype("int64")


def digit_rows(name: str, split: str) -> NDArray[np.int64]:
    """Which of scikit-learn's digits a split of `uci` or `uci-m` holds, in order.

    Each class is shuffled once and cut in half: the first half is `uci`, the second `uci-m`; of each half
    the first 20 are for testing. So no digit stands in two splits or in both domains.
    """
    import numpy as np

    _, targets = sklearn_digits()
    rows = []
    for digit in range(10):
        members = np.flatnonzero(targets == digit)
        # Philox gives the same words in every numpy; sorting by them shuffles.
        order = np.argsort(np.random.Philox(key=[SEED, digit]).random_raw(len(members)), kind="stable")
        half = np.array_split(members[order], 2)[name == "uci-m"]
        rows.append(half[:TEST_PER_CLASS] if split == "test" else half[TEST_PER_CLASS:])
    return np.sort(np.concatenate(rows))


def enlarge(values_N88: NDArray[np.float64]) -> Tensor:
    """Digits `[N, 8, 8]` of values 0 to 16 → uint8 `[N, 1, 28, 28]`, bicubic."""
    import torch
    import torch.nn.functional as F

    from genshift.data.blend import SIDE

    x = torch.from_numpy(values_N88).float().unsqueeze(1) * (255 / 16)
    x = F.interpolate(x, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    return x.round_().clamp_(0, 255).to(torch.uint8)  # bicubic overshoots at edges


@lru_cache(maxsize=2)
def photos(split: str) -> tuple[NDArray[np.uint8], ...]:
    """scikit-learn has two photos only: the left 60 % of each is for training, the rest for testing."""
    from sklearn.datasets import load_sample_images

    whole = load_sample_images().images
    cuts = [photo.shape[1] * 6 // 10 for photo in whole]
    return tuple(p[:, cut:] if split == "test" else p[:, :cut] for p, cut in zip(whole, cuts, strict=True))


register(
    DataSet(
        name="uci",
        title="scikit-learn's UCI handwritten digits, one half of them, enlarged to 28×28",
        read=read_uci,
        published_counts={"train": 701, "test": 200},
        side=(28, 28),
        channels=1,
        classes=DIGITS,
        rule=RESIZED,
        licence="CC BY 4.0",
        redistributable=True,
        terms="Comes with scikit-learn; cite Alpaydin and Kaynak (1998).",
        papers=(UCI_PAPER,),
    )
)
register(
    DataSet(
        name="uci-m",
        title="the other half of scikit-learn's digits, blended with its sample photos by MNIST-M's recipe",
        read=read_uci_m,
        published_counts={"train": 696, "test": 200},
        side=(28, 28),
        channels=3,
        classes=DIGITS,
        rule=RESIZED,
        licence="CC BY 4.0 (digits), CC BY 2.0 (photos)",
        redistributable=True,
        terms="Comes with scikit-learn; photos by danielbuechele and vultilion on Flickr; "
        "cite Alpaydin and Kaynak (1998).",
        papers=(UCI_PAPER,),
    )
)
