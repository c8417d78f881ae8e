"""SVHN: 630,420 digits cut from photos of house numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genshift.data.dataset import DIGITS, RESIZED, DataFile, DataSet, Location, ReadOptions, register
from genshift.papers import Paper

if TYPE_CHECKING:
    from genshift.data.imageset import ImageSet


def _file(split: str, md5: str, size: int, on_request: bool = False) -> DataFile:
    name = f"{split}_32x32.mat"
    url = f"http://ufldl.stanford.edu/housenumbers/{name}"
    return DataFile(name, split, md5, size, (url,), on_request=on_request)


def read(location: Location, options: ReadOptions) -> ImageSet:
    """Images `[N, 3, 32, 32]`, labels 0 to 9."""
    from genshift.data.mat import read_digits

    return read_digits("svhn", location.path, bool(options.labels), options.limit)


register(
    DataSet(
        name="svhn",
        title="Street View House Numbers, cropped digits",
        read=read,
        files=(
            _file("train", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
            _file("test", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
            _file("extra", "a93ce644f1a588dc4d68dda5feec44a7", 1_329_278_602, on_request=True),
        ),
        folders=("svhn", "SVHN"),
        published_counts={"train": 73_257, "test": 26_032, "extra": 531_131},
        side=(32, 32),
        channels=3,
        classes=DIGITS,
        rule=RESIZED,
        licence="non-commercial use only",
        terms="For non-commercial research; cite Netzer et al. (2011).",
        papers=(
            Paper(
                "netzer2011svhn",
                "Netzer, Yuval and Wang, Tao and Coates, Adam and Bissacco, Alessandro and Wu, Bo and Ng, Andrew Y.",
                "Reading Digits in Natural Images with Unsupervised Feature Learning",
                "NIPS Workshop on Deep Learning and Unsupervised Feature Learning",
                2011,
            ),
        ),
    )
)
