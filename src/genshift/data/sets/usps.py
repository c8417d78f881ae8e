"""USPS: 9,298 handwritten digits from envelopes, in the files of LIBSVM's collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genshift.data.dataset import DIGITS, RESIZED, DataFile, DataSet, Location, ReadOptions, register
from genshift.papers import Paper

if TYPE_CHECKING:
    from genshift.data.imageset import ImageSet

HOST = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"


def _file(name: str, split: str, md5: str, size: int) -> DataFile:
    return DataFile(name, split, md5, size, (HOST + name,))


def read(location: Location, options: ReadOptions) -> ImageSet:
    """Images `[N, 1, 16, 16]`, labels 0 to 9."""
    from genshift.data.libsvm import read_digits

    return read_digits("usps", location.path, bool(options.labels), options.limit)


register(
    DataSet(
        name="usps",
        title="USPS handwritten digits (LIBSVM's files)",
        read=read,
        files=(
            _file("usps.bz2", "train", "ec16c51db3855ca6c91edd34d0e9b197", 6_579_383),
            _file("usps.t.bz2", "test", "8ea070ee2aca1ac39742fdd1ef5ed118", 1_831_726),
        ),
        folders=("usps", "USPS"),
        published_counts={"train": 7_291, "test": 2_007},
        side=(16, 16),
        channels=1,
        classes=DIGITS,
        rule=RESIZED,
        fills_frame=True,
        licence="not stated",
        redistributable=True,  # no terms forbid it: LIBSVM's hosts pass all of it on
        terms="Distributed with LIBSVM's data sets for research; cite Hull (1994).",
        papers=(
            Paper(
                "hull1994usps",
                "Hull, Jonathan J.",
                "A Database for Handwritten Text Recognition Research",
                "IEEE Transactions on Pattern Analysis and Machine Intelligence",
                1994,
                kind="article",
                more=(("volume", "16"), ("number", "5"), ("pages", "550--554")),
            ),
        ),
    )
)
