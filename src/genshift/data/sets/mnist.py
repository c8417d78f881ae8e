"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from genshift.data.dataset import DIGITS, RESIZED, DataFile, DataSet, Location, ReadOptions, register
from genshift.papers import Paper

if TYPE_CHECKING:
    from genshift.data.imageset import ImageSet

HOSTS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
PREFIXES = {"train": "train", "test": "t10k"}  # of the file names of a split

MNIST_PAPER = Paper(
    "lecun1998mnist",
    "LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick",
    "Gradient-Based Learning Applied to Document Recognition",
    "Proceedings of the IEEE",
    1998,
    kind="article",
    more=(("volume", "86"), ("number", "11"), ("pages", "2278--2324")),
)


def _file(split: str, holds: Literal["images", "labels"], md5: str, size: int) -> DataFile:
    unpacked = f"{PREFIXES[split]}-{holds}-{'idx3' if holds == 'images' else 'idx1'}-ubyte"
    name = f"{unpacked}.gz"
    return DataFile(name, split, md5, size, tuple(host + name for host in HOSTS), (unpacked,), holds)


def read(location: Location, options: ReadOptions) -> ImageSet:
    """Images `[N, 1, 28, 28]`, labels 0 to 9."""
    from genshift.data.idx import read_digits

    labels = location.files[f"{PREFIXES[options.split]}-labels-idx1-ubyte.gz"] if options.labels else None
    return read_digits("mnist", location.path, labels, options.limit)


register(
    DataSet(
        name="mnist",
        title="MNIST handwritten digits",
        read=read,
        files=(
            _file("train", "images", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
            _file("train", "labels", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
            _file("test", "images", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
            _file("test", "labels", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
        ),
        folders=("mnist", "MNIST/raw", "MNIST"),
        published_counts={"train": 60_000, "test": 10_000},
        side=(28, 28),
        channels=1,
        classes=DIGITS,
        rule=RESIZED,
        licence="CC BY-SA 3.0",
        redistributable=True,
        terms="Free to use with attribution to LeCun, Cortes and Burges, under the same licence.",
        papers=(MNIST_PAPER,),
    )
)
