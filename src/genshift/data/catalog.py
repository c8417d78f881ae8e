"""What genshift knows of each data set: files, addresses, checksums, sizes, licence. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from genshift.errors import unknown

DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class DataFile:
    """One published file.

    md5: the published checksum, or None where none is known to be published.
    size: bytes, or None where it is not known.
    urls: where `genshift data get` looks, in order; empty where the host lets no program fetch it.
    """

    name: str
    split: str | None  # None: the file serves every split
    md5: str | None
    size: int | None
    urls: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which a user may have put the file: as published, or unpacked."""
        return (self.name, self.name.removesuffix(".gz")) if "-ubyte" in self.name else (self.name,)


@dataclass(frozen=True)
class DataSet:
    """A catalog entry.

    published_counts: images in each split; for `mnistm`, as `genshift data build` makes it.
    folders: where the files may lie below a data root, the first being where downloads go.
    rule: how an image comes to the side that `size` asks for.
    by_hand: how to place the set where no program can fetch it, or how else to get it.
    """

    name: str
    title: str
    files: tuple[DataFile, ...]
    published_counts: Mapping[str, int]
    side: tuple[int, int]  # height, width as published
    channels: int
    classes: tuple[str, ...]
    licence: str
    terms: str
    rule: str
    folders: tuple[str, ...]
    by_hand: str = ""
    attributes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.published_counts)

    @property
    def embedded(self) -> bool:
        """True where the set comes with scikit-learn and needs no download."""
        return not self.files

    @property
    def size(self) -> int | None:
        """Bytes of all files together, or None where one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def _counts(**splits: int) -> Mapping[str, int]:
    return MappingProxyType(splits)


def _mnist_file(name: str, split: str, md5: str, size: int) -> DataFile:
    hosts = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    return DataFile(name, split, md5, size, tuple(host + name for host in hosts))


def _usps_file(name: str, split: str, md5: str, size: int) -> DataFile:
    host = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
    return DataFile(name, split, md5, size, (host + name,))


def _svhn_file(split: str, md5: str, size: int) -> DataFile:
    name = f"{split}_32x32.mat"
    return DataFile(name, split, md5, size, (f"http://ufldl.stanford.edu/housenumbers/{name}",))


RESIZED = "resized to a square with bilinear interpolation and antialiasing"

CELEBA_ATTRIBUTES = tuple(
    """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
    Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair
    Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face
    Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair
    Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
    """.split()  # noqa: SIM905 - forty quoted names read worse
)

MNIST = DataSet(
    name="mnist",
    title="MNIST handwritten digits",
    files=(
        _mnist_file("train-images-idx3-ubyte.gz", "train", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
        _mnist_file("train-labels-idx1-ubyte.gz", "train", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
        _mnist_file("t10k-images-idx3-ubyte.gz", "test", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
        _mnist_file("t10k-labels-idx1-ubyte.gz", "test", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
    ),
    published_counts=_counts(train=60_000, test=10_000),
    side=(28, 28),
    channels=1,
    classes=DIGITS,
    licence="CC BY-SA 3.0",
    terms="Free to use with attribution to LeCun, Cortes and Burges, under the same licence.",
    rule=RESIZED,
    folders=("mnist", "MNIST/raw", "MNIST"),
)

USPS = DataSet(
    name="usps",
    title="USPS handwritten digits (LIBSVM's files)",
    files=(
        _usps_file("usps.bz2", "train", "ec16c51db3855ca6c91edd34d0e9b197", 6_579_383),
        _usps_file("usps.t.bz2", "test", "8ea070ee2aca1ac39742fdd1ef5ed118", 1_831_726),
    ),
    published_counts=_counts(train=7_291, test=2_007),
    side=(16, 16),
    channels=1,
    classes=DIGITS,
    licence="not stated",
    terms="Distributed with LIBSVM's data sets for research; cite Hull (1994).",
    rule=RESIZED,
    folders=("usps", "USPS"),
)

SVHN = DataSet(
    name="svhn",
    title="Street View House Numbers, cropped digits",
    files=(
        _svhn_file("train", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
        _svhn_file("test", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
        _svhn_file("extra", "a93ce644f1a588dc4d68dda5feec44a7", 1_329_278_602),
    ),
    published_counts=_counts(train=73_257, test=26_032, extra=531_131),
    side=(32, 32),
    channels=3,
    classes=DIGITS,
    licence="non-commercial use only",
    terms="For non-commercial research; cite Netzer et al. (2011).",
    rule=RESIZED,
    folders=("svhn", "SVHN"),
)

MNISTM = DataSet(
    name="mnistm",
    title="MNIST-M: MNIST digits blended with photos",
    files=(
        DataFile(
            "mnist_m.tar.gz",
            None,
            "859df31c91afe82e80e5012ba928f279",
            None,
            ("https://cornell.box.com/shared/static/jado7quprg6hzzdubvwzh9umr75damwi",),
        ),
    ),
    published_counts=_counts(train=60_000, test=10_000),
    side=(28, 28),
    channels=3,
    classes=DIGITS,
    licence="derived from MNIST (CC BY-SA 3.0) and the photos; with BSDS500, non-commercial research",
    terms=(
        "The published set is blended with BSDS500 photos, which are for non-commercial research; cite Ganin "
        "et al. (2016)."
    ),
    rule=f"{RESIZED}; the published 32×32 images are first cropped to MNIST's central 28×28",
    folders=("mnist_m", "mnistm", "MNIST-M"),
    by_hand="build it from MNIST with `genshift data build mnistm --photos DIR`, DIR holding any photos "
    "(BSDS500's, for the published look)",
)

CELEBA = DataSet(
    name="celeba",
    title="CelebA, aligned and cropped faces with 40 attributes",
    files=(
        DataFile("img_align_celeba.zip", None, "00d2c5bc6d35e252742224ab0c1e8fcb", 1_443_490_838, ()),
        DataFile("list_attr_celeba.txt", None, "75e246fa4810816ffd6ee81facbd244c", 26_721_026, ()),
        DataFile("list_eval_partition.txt", None, "d32c9cbf5e040fd4025c592c306e6668", 2_836_386, ()),
    ),
    published_counts=_counts(train=162_770, valid=19_867, test=19_962),
    side=(218, 178),
    channels=3,
    classes=(),
    licence="non-commercial research only",
    terms="For non-commercial research; the images may not be redistributed; cite Liu et al. (2015).",
    rule="cropped to the central 108/178 of the width as a square, a fraction of the side whatever the side "
    f"is, then {RESIZED}",
    folders=("celeba", "CelebA"),
    by_hand="its host refuses programs by quota: in a browser open "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, follow 'Align&Cropped Images', and put "
    "img_align_celeba.zip and list_attr_celeba.txt (and, if you have it, list_eval_partition.txt) into the "
    "folder celeba of a data root",
    attributes=CELEBA_ATTRIBUTES,
)

UCI = DataSet(
    name="uci",
    title="scikit-learn's UCI handwritten digits, one half of them, enlarged to 28×28",
    files=(),
    published_counts=_counts(train=701, test=200),
    side=(28, 28),
    channels=1,
    classes=DIGITS,
    licence="CC BY 4.0",
    terms="Comes with scikit-learn; cite Alpaydin and Kaynak (1998).",
    rule=RESIZED,
    folders=(),
)

UCI_M = DataSet(
    name="uci-m",
    title="the other half of scikit-learn's digits, blended with its sample photos by MNIST-M's recipe",
    files=(),
    published_counts=_counts(train=696, test=200),
    side=(28, 28),
    channels=3,
    classes=DIGITS,
    licence="CC BY 4.0 (digits), CC BY 2.0 (photos)",
    terms=(
        "Comes with scikit-learn; photos by danielbuechele and vultilion on Flickr; cite Alpaydin and Kaynak (1998)."
    ),
    rule=RESIZED,
    folders=(),
)

CATALOG: Mapping[str, DataSet] = MappingProxyType(
    {entry.name: entry for entry in (MNIST, MNISTM, USPS, SVHN, CELEBA, UCI, UCI_M)}
)


def entry(name: str) -> DataSet:
    """The catalog's entry of that name; raises Refusal, with the nearest valid name, where there is none."""
    if name not in CATALOG:
        raise unknown("data set", name, CATALOG, "`genshift ls` lists them; a path to a folder works too.")
    return CATALOG[name]
