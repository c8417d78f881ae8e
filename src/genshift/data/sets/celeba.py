"""CelebA: 202,599 faces with 40 attributes each, aligned and cropped by its makers.

Its lists are read as published, or as the CSV files of Kaggle's copy, whose pictures lie one folder deeper.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genshift.data.dataset import RESIZED, DataFile, DataSet, Location, ReadOptions, register
from genshift.data.files import open_files
from genshift.errors import Refusal, of_os_error
from genshift.papers import Paper

if TYPE_CHECKING:
    from genshift.data.imageset import ImageSet

COUNTS = {"train": 162_770, "valid": 19_867, "test": 19_962}  # in list_eval_partition.txt: 0, 1, 2
TOTAL = sum(COUNTS.values())
IMAGE = "image_id"  # the first column of a CSV
CROP = 108 / 178  # of the width: the square crop of published work, whatever the files' resolution
BY_HAND = (
    "its host refuses programs by quota: in a browser open https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, follow "
    "'Align&Cropped Images', and put img_align_celeba.zip and list_attr_celeba.txt (and, if you have it, "
    "list_eval_partition.txt), or Kaggle's copy, unpacked (CSV lists), into the folder celeba of a data root"
)
ATTRIBUTES = tuple(
    """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
    Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair
    Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face
    Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair
    Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
    """.split()  # noqa: SIM905 - forty quoted names read worse
)


def read(location: Location, options: ReadOptions) -> ImageSet:
    """Images `[N, 3, H, W]`; uint8 attributes `[N, 40]` of 0 and 1 where their list lies beside the images.

    Without a size the whole aligned images; with it the central square of 108/178 of the width, resized, or all of them
    padded.
    """
    import torch

    from genshift.data.folders import unread_of
    from genshift.data.imageset import ImageSet
    from genshift.data.pictures import is_picture, read_pictures

    # Images
    files = open_files(location.path)
    names = [name for name in files.names if is_picture(name)]
    if not names:
        raise Refusal(f"{location.path} holds no picture: expected CelebA's aligned JPEG files; {BY_HAND}.")
    chosen, notes = _of_split(names, location.files.get("list_eval_partition.txt"), options.split)
    if unread := unread_of(files, names):
        notes += (f"celeba: not read: {unread}.",)
    fraction = CROP if options.size is not None and options.decoding.fit == "crop" else 1.0
    pictures = read_pictures(
        files,
        chosen[: options.limit],
        options.size,
        options.colour,
        fraction=fraction,
        skip_broken=options.skip_broken,
        decoding=options.decoding,
    )
    notes += pictures.notes
    listing = location.files.get("list_attr_celeba.txt")
    if listing is None:
        return ImageSet("celeba", pictures.images, notes=notes, digests=pictures.digests)

    # Attributes, by the image's name
    table, columns, remark = read_attributes(listing)
    kept = [chosen[place].rpartition("/")[2] for place in pictures.kept]
    missing = next((name for name in kept if name not in table), None)
    if missing is not None:
        raise Refusal(
            f"{listing} has no line for {missing} of {files.path}: expected one a picture; take both from one source."
        )
    attributes = torch.frombuffer(bytearray(b"".join(table[name] for name in kept)), dtype=torch.uint8)
    return ImageSet(
        "celeba",
        pictures.images,
        attributes=attributes.view(len(kept), len(columns)),
        attribute_names=columns,
        notes=notes + remark,
        digests=pictures.digests,
    )


def read_attributes(path: Path) -> tuple[dict[str, bytes], tuple[str, ...], tuple[str, ...]]:
    """`list_attr_celeba.txt`, or `.csv` → image name → 40 bytes of 0 and 1; the attributes' names; notes.

    The published file has the count, the names, then one line an image of −1 and 1; Kaggle's has the names in its
    header, after `image_id`. Where the line of names is missing or is none, the published names are taken, with a note.
    """
    lines = _lines(path)
    # The list of a part may lack the count, or the names too: the first line of an image says where they end.
    start = next((n for n, line in enumerate(lines[:3]) if line.split()[0].lower().endswith((".jpg", ".png"))), None)
    if start is None:
        raise Refusal(
            f"{path} is no list of attributes: expected a count, the names, then lines 'image −1 1 …'; fetch it again."
        )
    columns = tuple(word for word in lines[start - 1].split() if word != IMAGE) if start else ()
    remark: tuple[str, ...] = ()
    if len(columns) != len(ATTRIBUTES):
        columns = ATTRIBUTES
        remark = (f"{path.name} has no line with the attributes' names; the {len(columns)} published names are used.",)
    table = {}
    for number, line in enumerate(lines[start:], start + 1):
        image, *values = line.split()
        if len(values) != len(columns) or not set(values) <= {"-1", "0", "1"}:
            raise Refusal(
                f"{path} line {number} gives {len(values)} values for {image}: expected {len(columns)} of −1 or 1; it "
                "is cut short or damaged, so fetch it again."
            )
        table[image] = bytes(value == "1" for value in values)
    return table, columns, remark


def _of_split(names: list[str], partition: Path | None, split: str) -> tuple[list[str], tuple[str, ...]]:
    """A split's names: by the partition file, the published bounds, or 90 and 10 % where the set is a part."""
    note: tuple[str, ...] = ()
    if partition is not None:  # lines 'image number', the number being the split's
        words = [line.split() for line in _lines(partition)]
        part_of = {line[0]: line[1] for line in words if len(line) >= 2}
        number = str(list(COUNTS).index(split))
        chosen = [name for name in names if part_of.get(name.rpartition("/")[2]) == number]
        unnamed = sum(name.rpartition("/")[2] not in part_of for name in names)
        if unnamed:
            note = (f"celeba: {unnamed:,} of {len(names):,} images are not in {partition.name}, and are not read.",)
    elif len(names) == TOTAL:  # the published partition goes by file number, so the list can be done without
        first, second = COUNTS["train"], COUNTS["train"] + COUNTS["valid"]
        chosen = names[slice(*{"train": (0, first), "valid": (first, second), "test": (second, None)}[split])]
    elif split == "valid":
        raise Refusal(
            f"celeba has no split 'valid' here: {len(names):,} of the {TOTAL:,} published images are here, parted into "
            "train and test; name one of these, or put list_eval_partition.txt beside them."
        )
    else:
        first = len(names) * 9 // 10
        chosen = names[:first] if split == "train" else names[first:]
        note = (
            f"celeba: {len(names):,} of the {TOTAL:,} published images are here; by file number the first {first:,} "
            f"(90 %) are train and the last {len(names) - first:,} (10 %) test.",
        )
    if not chosen:
        raise Refusal(f"No image of celeba's split '{split}' is here: {BY_HAND}.")
    return chosen, note


def _lines(path: Path) -> list[str]:
    """The lines of a list that hold anything, those of a CSV with spaces for its commas."""
    try:
        text = path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    return [line for line in text.replace(",", " ").splitlines() if line.strip()]


register(
    DataSet(
        name="celeba",
        title="CelebA, aligned and cropped faces with 40 attributes",
        read=read,
        files=(
            DataFile(
                "img_align_celeba.zip",
                None,
                "00d2c5bc6d35e252742224ab0c1e8fcb",
                1_443_490_838,
                unpacked=("img_align_celeba",),
            ),
            DataFile(
                "list_attr_celeba.txt",
                None,
                "75e246fa4810816ffd6ee81facbd244c",
                26_721_026,
                unpacked=("list_attr_celeba.csv",),
                holds="list",
            ),
            DataFile(
                "list_eval_partition.txt",
                None,
                "d32c9cbf5e040fd4025c592c306e6668",
                2_836_386,
                unpacked=("list_eval_partition.csv",),
                holds="list",
            ),
        ),
        folders=("celeba", "CelebA", "celeba-dataset"),
        by_hand=BY_HAND,
        published_counts=COUNTS,
        side=(218, 178),
        channels=3,
        attributes=ATTRIBUTES,
        rule="cropped to the central 108/178 of the width as a square, a fraction of the side whatever the side "
        f"is, then {RESIZED}",
        licence="non-commercial research only",
        terms="For non-commercial research; the images may not be redistributed; cite Liu et al. (2015).",
        papers=(
            Paper(
                "liu2015celeba",
                "Liu, Ziwei and Luo, Ping and Wang, Xiaogang and Tang, Xiaoou",
                "Deep Learning Face Attributes in the Wild",
                "ICCV",
                2015,
                "1411.7766",
            ),
        ),
    )
)
