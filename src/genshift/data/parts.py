"""Which folders of a user's set are its parts (train, test, valid), and which are classes. Imports no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What a part's folder or CSV may be called, in any case, alone or before "set", "data" or "images" (training_set).
WORDS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "valid": ("valid", "val", "validation", "dev", "eval", "evaluation"),
}
MEASURED_ON = ("test", "valid")  # the first that there is
_OF = {word: part for part, words in WORDS.items() for word in words}
_ENDING = re.compile(r"[ _-]?(set|data|images)$")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of a name: "val" of val2017, "train" of trainA and digits_train


def part_of(name: str) -> str | None:
    """The part that a folder's or CSV's name (without its suffix) says, or None: 'Testing' → 'test'."""
    return _OF.get(_ENDING.sub("", name.lower()))


def _within(name: str) -> tuple[str, str] | None:
    """The part that one word of a name says, and the rest of the name: 'val2017' → ('valid', '2017')."""
    said = [(part, match) for match in _WORD.finditer(name) if (part := _OF.get(match.group().lower()))]
    if len(said) != 1:
        return None
    part, match = said[0]
    return part, f"{name[: match.start()]} {name[match.end() :]}".casefold().strip(" _-.")


def _named(folders: Iterable[str]) -> tuple[dict[str, str], str]:
    """Of sibling folders those named as parts are, with the part of each, and why that is doubtful ('': it is not).

    Where none says a part alone, each may say more, as COCO's train2017 and val2017 do, if all say the same more. Names
    of several such sets, as CycleGAN's trainA, testA, trainB and testB, or others beside one, are doubtful.
    """
    folders = sorted(folders)
    if named := {folder: part for folder in folders if (part := part_of(folder))}:
        return named, ""
    within = {folder: said for folder in folders if (said := _within(folder))}
    of_rest: dict[str, set[str]] = {}
    for part, rest in within.values():
        of_rest.setdefault(rest, set()).add(part)
    sets = [rest for rest, parts in of_rest.items() if "train" in parts and len(parts) > 1]
    if not sets:
        return {}, ""
    if len(of_rest) == 1 and len(within) == len(folders):
        return {folder: part for folder, (part, _) in within.items()}, ""
    parts = listed(folder for folder, (_, rest) in within.items() if rest in sets)
    way = "put train/ and test/ of one set into a folder of their own, or rename them if they are classes."
    return {}, f"{parts}, named as parts of a set are: {way}"


def measured_on(parts: Iterable[str]) -> str:
    """The part that a set is evaluated on: what is there of `MEASURED_ON`, else "train"."""
    return next((part for part in MEASURED_ON if part in parts), "train")


@dataclass(frozen=True)
class Parts:
    """folders: part → its folder, with all that it lies in ("pets/train/"); none where folders are classes.

    note: what was read as what, for the user. doubt: why that cannot be told, as a refusal's sentence.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    doubt: str = ""


def find_parts(path: Path, names: Sequence[str], top: str = "") -> Parts:
    """The parts of the pictures `names` of `path` that lie below its folder `top`.

    Folders are parts only where all are, with a part 'train' or as the only one. Folders of which some alone have a
    part's name are classes, except where that is doubtful: two such names, or a 'train' with folders of its own.
    """
    # An archive that was unpacked may lie in a folder of its own, which means nothing.
    here = top
    while True:
        folders, inside, loose = _folders(names, here)
        if len(folders) != 1 or loose or any(map(part_of, folders)):
            break
        here += f"{next(iter(folders))}/"
    found = _parts_among(path, here, folders, inside, loose)
    return found if here == top or found.folders or found.doubt else Parts()


def _folders(names: Sequence[str], top: str) -> tuple[Counter[str], dict[str, set[str]], int]:
    """The folders below `top` with their numbers of pictures, the folders in each ("" for a picture), and how many
    pictures lie in none."""
    folders: Counter[str] = Counter()
    inside: dict[str, set[str]] = {}
    loose = 0
    for name in names:
        if not name.startswith(top):
            continue
        folder, slash, rest = name[len(top) :].partition("/")
        if not slash:
            loose += 1
            continue
        folders[folder] += 1
        inside.setdefault(folder, set()).add(rest.partition("/")[0] if "/" in rest else "")
    return folders, inside, loose


def _parts_among(path: Path, top: str, folders: Counter[str], inside: Mapping[str, set[str]], loose: int) -> Parts:
    """The parts among sibling folders."""
    named, doubt = _named(folders)
    others = sorted(set(folders) - set(named))
    where = path / top
    if doubt:
        return Parts(doubt=f"{where} holds {doubt}")
    if not named:
        return Parts(doubt=_parts_in_classes(where, inside))
    if others:
        of_classes = any(part == "train" and len(inside[f] - {""}) > 1 for f, part in named.items())
        if len(set(named.values())) > 1 or of_classes:
            return Parts(
                doubt=f"{where} holds {listed(named)}, named as parts of a set are, beside {listed(others)}: move "
                f"{listed(others)} elsewhere if they are its parts, or rename {listed(named)} if they are classes."
            )
        return Parts(note=f"{listed(named)} is read as a class, as is what stands beside it ({listed(others)}).")
    if len(set(named.values())) < len(named):
        return Parts(doubt=f"{where} holds {listed(named)}, of which two name one part: put them into one folder.")
    if len(named) == 1 and loose:
        return Parts()  # pictures beside a folder, as where it has any other name
    parts = {part: f"{top}{folder}/" for folder, part in named.items()}
    return Parts(parts, told({part: (folder, folders[folder]) for folder, part in named.items()}, loose))


def _parts_in_classes(where: Path, inside: Mapping[str, set[str]]) -> str:
    """Why classes that hold parts themselves are doubtful; nothing where none does."""
    for folder, within in sorted(inside.items()):
        if len(within) > 1 and "train" in (parts := set(map(part_of, within))) and None not in parts:
            return (
                f"{where / folder} holds {listed(sorted(within))}, named as parts of a set are: expected them above "
                f"the classes (train/{folder}); move them, or rename them if they are no parts."
            )
    return ""


def told(parts: Mapping[str, tuple[str, int]], loose: int = 0) -> str:
    """What was read as what; `parts` are folders and their numbers of pictures."""
    if list(parts) == ["test"] or list(parts) == ["valid"]:
        return f"{next(iter(parts.values()))[0]}/ is the only folder, and is read whole."
    used = measured_on(parts)
    roles = {used: "the part to measure on", "train": "the training part"}
    roled = [
        f"{folder}/ ({count:,} {'picture' if count == 1 else 'pictures'}) is {roles.get(part, 'not used')}"
        for part, (folder, count) in sorted(parts.items(), key=lambda item: list(WORDS).index(item[0]))
    ]
    beside = [f"{loose:,} beside them are not read"] if loose else []
    return f"{', '.join(roled + beside)}."


def listed(names: Iterable[str]) -> str:
    """At most four names, and how many more there are."""
    some = list(names)
    return ", ".join(some[:4]) + (f" and {len(some) - 4:,} more" if len(some) > 4 else "")
