"""MNIST-M: MNIST's digits blended with photos, as published or as `genshift data build mnistm` makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genshift.data.dataset import DIGITS, RESIZED, DataFile, DataSet, Location, ReadOptions, register
from genshift.data.files import Files, open_files
from genshift.data.sets.mnist import MNIST_PAPER
from genshift.errors import Refusal
from genshift.papers import DANN_PAPER, Paper

if TYPE_CHECKING:
    from genshift.data.imageset import ImageSet

BSDS_PAPER = Paper(
    "arbelaez2011bsds",
    "Arbeláez, Pablo and Maire, Michael and Fowlkes, Charless and Malik, Jitendra",
    "Contour Detection and Hierarchical Image Segmentation",
    "IEEE Transactions on Pattern Analysis and Machine Intelligence",
    2011,
    kind="article",
    more=(("volume", "33"), ("number", "5"), ("pages", "898--916")),
)


def read(location: Location, options: ReadOptions) -> ImageSet:
    """The published layout: `mnist_m_SPLIT/*.png`, `mnist_m_SPLIT_labels.txt` (lines `image label`) → `[N, 3, 32, 32]`.

    With a size, the 32×32 images are first cropped to the central 28×28, so that the digits have the size
    that they have in MNIST and in the set that genshift builds.
    """
    import torch

    from genshift.data.imageset import ImageSet
    from genshift.data.pictures import read_pictures

    # An unpacked archive is known by its folder of training images; the labels lie beside that.
    files = open_files(location.path.parent if location.path.is_dir() else location.path)
    label_of = _labels(files, options.split) if options.labels else _unlabelled(files, options.split)
    names = list(label_of)[: options.limit]
    # Around MNIST's 28×28 the published images add a border of two pixels of photo.
    fraction = 28 / 32 if options.size is not None else 1.0
    pictures = read_pictures(files, names, options.size, options.colour, fraction=fraction, decoding=options.decoding)
    labels = torch.tensor([label_of[name] for name in names]) if options.labels else None
    return ImageSet("mnistm", pictures.images, labels, DIGITS, notes=pictures.notes)


def _unlabelled(files: Files, split: str) -> dict[str, int]:
    """The pictures of a split, in order; the labels' file is not read, so every label is −1."""
    from genshift.data.pictures import is_picture

    folder = f"mnist_m_{split}/"
    names = [name for name in files.names if is_picture(name) and f"/{name}".rpartition(f"/{folder}")[1]]
    if not names:
        raise Refusal(
            f"{files.path} holds no picture in {folder}: expected the layout of mnist_m.tar.gz; check the path."
        )
    return dict.fromkeys(names, -1)


def _labels(files: Files, split: str) -> dict[str, int]:
    """Picture → label, in the order of the labels' file; each picture of the split exactly once."""
    pictures = _unlabelled(files, split)
    # Lines name pictures without their folder, which may lie at the top or below mnist_m/.
    top = next(iter(pictures)).rpartition("/")[0].rpartition("/")[0]
    listing = f"{top}/mnist_m_{split}_labels.txt".lstrip("/")
    if listing not in files.names:
        raise Refusal(f"{files.path} holds no {listing}: expected the layout of mnist_m.tar.gz; fetch it again.")
    label_of = {}
    for number, line in enumerate(files.read(listing).decode("utf-8", "replace").split("\n"), 1):
        if not line.strip():
            continue
        picture, _, label = line.strip().partition(" ")
        if label not in DIGITS:
            raise Refusal(
                f"{files.path / listing} says '{line.strip()[:40]}' in line {number}: expected a picture's name and a "
                "label from 0 to 9; fetch it again."
            )
        label_of[f"{top}/mnist_m_{split}/{picture}".lstrip("/")] = int(label)
    # An archive cut short, or of two parts, would otherwise train on fewer pictures than it says.
    missing = [name for name in label_of if name not in pictures]
    if missing or len(label_of) != len(pictures):
        what = f"names {missing[0]}, which is not there" if missing else f"names {len(label_of):,} pictures"
        raise Refusal(
            f"{files.path / listing} {what}: expected the {len(pictures):,} of mnist_m_{split}/; fetch it again."
        )
    return label_of


register(
    DataSet(
        name="mnistm",
        title="MNIST-M: MNIST digits blended with photos",
        read=read,
        files=(
            DataFile(
                "mnist_m.tar.gz",
                None,
                "859df31c91afe82e80e5012ba928f279",
                None,
                ("https://cornell.box.com/shared/static/jado7quprg6hzzdubvwzh9umr75damwi",),
                unpacked=("mnist_m_train", "mnist_m/mnist_m_train"),
            ),
        ),
        folders=("mnist_m", "mnistm", "MNIST-M"),
        built=True,
        by_hand="build it from MNIST with `genshift data build mnistm --photos DIR`, DIR holding any photos "
        "(BSDS500's, for the published look)",
        published_counts={"train": 60_000, "test": 10_000},
        side=(28, 28),
        channels=3,
        classes=DIGITS,
        rule=f"{RESIZED}; the published 32×32 images are first cropped to MNIST's central 28×28",
        licence="derived from MNIST (CC BY-SA 3.0) and the photos; with BSDS500, non-commercial research",
        terms="The published set is blended with BSDS500 photos, which are for non-commercial research; "
        "cite Ganin et al. (2016).",
        papers=(DANN_PAPER, MNIST_PAPER, BSDS_PAPER),
    )
)
