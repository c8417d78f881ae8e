"""Packed sets: one folder of `images.npy`, `labels.npy` and `set.json`, opened as a memory map."""

from __future__ import annotations

import glob
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast

import numpy as np
from msgspec import Meta

from genshift import typed_json
from genshift.errors import Refusal, of_os_error
from genshift.paths import AnyPath, given_path, output_folder
from genshift.temporary import is_litter, remove_litter, remove_litter_of, temporary_name
from genshift.typed_json import Count

if TYPE_CHECKING:
    from torch import Tensor

    from genshift.data.imageset import ImageSet

FORMAT = 1  # raised whenever an older genshift could not read what is written


class PackedFacts(TypedDict):
    """`set.json`: what the arrays beside it hold, and how the set was made."""

    format: int
    name: str
    shape: Annotated[list[Count], Meta(min_length=4, max_length=4)]
    labels: bool
    classes: list[str]
    attribute_names: list[str]
    notes: list[str]
    fingerprint: str
    recipe: dict[str, Any]


def pack(images: ImageSet, folder: AnyPath, *, recipe: dict[str, Any] | None = None) -> Path:
    """Writes a set to `folder`, which appears whole or not at all; `recipe` says how the set was made.

    Raises Refusal where `folder` exists and is no packed set, or cannot be written.
    """
    folder = given_path(folder)
    with replacing(folder, "set.json") as fresh:
        write_packed(images, fresh, recipe)
    return folder


def write_packed(images: ImageSet, folder: Path, recipe: dict[str, Any] | None = None) -> None:
    """The files of a set, without any care for what happens half-way; `pack` and the builders add that."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"images": images.images, "labels": images.labels, "attributes": images.attributes}
    for name, tensor in arrays.items():
        if tensor is not None:
            np.save(folder / f"{name}.npy", tensor.cpu().numpy(), allow_pickle=False)
    facts: PackedFacts = {
        "format": FORMAT,
        "name": images.name,
        "shape": list(images.images.shape),
        "labels": images.labels is not None,
        "classes": list(images.classes),
        "attribute_names": list(images.attribute_names),
        "notes": list(images.notes),
        "fingerprint": images.fingerprint(),
        "recipe": recipe or {},
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    (folder / "set.json").write_text(text, "utf-8", "backslashreplace")  # a name that is no UTF-8 as JSON can hold it


def open_packed(folder: Path, labels: bool = True) -> ImageSet:
    """A packed set whose images stay in their file, read as they are gathered: of these, sizes alone are checked.

    The images must not be written to: the map is read-only. Raises Refusal where the folder is not whole.
    """
    from genshift.data.imageset import ImageSet

    facts = read_facts(folder)
    images = _tensor(_array(folder, "images", tuple(facts["shape"]), "uint8"))
    count = facts["shape"][0]
    # Labels are few: they are copied to memory, and only the images stay in their file.
    targets = None
    if labels and facts["labels"]:
        targets = _tensor(_array(folder, "labels", (count,), "int64")).clone()
    names = tuple(facts["attribute_names"])
    attributes = _tensor(_array(folder, "attributes", (count, len(names)), "uint8")).clone() if names else None
    classes, notes = tuple(facts["classes"]), tuple(facts["notes"])
    return ImageSet(facts["name"], images, targets, classes, attributes, names, notes).checked(folder)


def verify_packed(folder: Path) -> None:
    """Reads every pixel and label; raises Refusal where they are not those that were packed."""
    now, packed = open_packed(folder).fingerprint(), read_facts(folder)["fingerprint"]
    if now != packed:
        raise Refusal(
            f"{folder} has the fingerprint {now}: expected {packed}, as written when it was packed; it was "
            "changed or damaged since, so pack or build it again."
        )


def is_packed(folder: Path) -> bool:
    """Whether a folder is a packed set, whole or not."""
    return (folder / "set.json").is_file()


def read_facts(folder: Path) -> PackedFacts:
    """`set.json`, checked for its form; raises Refusal."""
    path, advice = folder / "set.json", "pack or build the set again"
    facts = typed_json.read(path, dict[str, Any], advice, advice)
    form = facts.get("format")
    if isinstance(form, int) and form > FORMAT:
        raise Refusal(
            f"{path} is in the packed form {form} of a newer genshift, and this one reads {FORMAT}: install that "
            "version."
        )
    if form != FORMAT:
        raise Refusal(f"{path} is not in the packed form {FORMAT} that this genshift reads: {advice}.")
    typed_json.check(facts, PackedFacts, str(path), advice)
    if facts["shape"][1] not in (1, 3):
        raise Refusal(f"{path} lacks a good 'shape': {advice}.")
    return cast(PackedFacts, facts)


def _array(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A memory map of one array; Refusal where it is not what `set.json` says."""
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise of_os_error(error, f"reading {path}") from error
    except (ValueError, EOFError) as error:
        raise Refusal(f"{path} is cut short or damaged ({error}): pack or build the set again.") from error
    if array.shape != shape or array.dtype != dtype:
        raise Refusal(
            f"{path} holds {array.dtype} {array.shape}: expected {dtype} {shape}; pack or build the set again."
        )
    return array


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory; it keeps the map open."""
    import torch

    with warnings.catch_warnings():
        # The map is read-only on purpose: a private writable one (mode "c") is charged against memory by the
        # kernel, which then refuses to map a set larger than memory.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def check_place(folder: Path, mark: str = "set.json", what: str = "packed set") -> None:
    """Refuses a place for a packed set (`what`) where something else stands, or that cannot be written to."""
    if folder.exists() and not (folder / mark).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal(f"{folder} exists and is no {what}: name another folder.")
    output_folder(folder)


@contextmanager
def replacing(folder: Path, mark: str, what: str = "packed set") -> Iterator[Path]:
    """A fresh folder that takes the place of `folder` when the block ends well, and vanishes otherwise.

    An existing `folder` is replaced only where it is empty or holds `mark`, a file that says it is ours. What a killed
    process left of an earlier attempt is put back or removed.
    """
    fresh, old = temporary_name(folder, "new"), temporary_name(folder, "old")  # beside it: a rename is enough
    try:
        _tidy(folder)
        check_place(folder, mark, what)
        fresh.mkdir(parents=True)
        yield fresh
        if folder.exists():  # no system call swaps two folders; between these renames neither has its name
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise of_os_error(error, f"writing {folder}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Puts right what processes that were killed in `replacing` left of `folder`, and of sets in it."""
    for old in folder.parent.glob(f".{glob.escape(folder.name)}.*.old"):
        if not folder.exists() and is_litter(old):  # killed between the two renames
            old.rename(folder)
    for end in ("new", "old"):
        remove_litter_of(folder, end)
        if folder.is_dir():
            remove_litter(folder, f".*.{end}")
