"""The data of an adaptation experiment, parted so that the target's labels stay out of training's reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from genshift.data import check_domains, check_pictures, load_named, seed_of
from genshift.data.catalog import lookup
from genshift.data.imageset import ImageSet
from genshift.data.loading import splits_of
from genshift.data.manifest import NEW, Manifest, Memory, SetManifest, manifest_of, pixels_of, standing
from genshift.data.parts import measured_on
from genshift.data.text import composed
from genshift.errors import Refusal, unknown
from genshift.presets import Adaptation, Preset
from genshift.presets.benchmark import OWN_STUDY

HELD_OUT_IMAGES = 2_000  # validated on: a check costs a fraction of the steps between two checks
PLACES = 2**56  # numbers that seven bytes of a digest give: they fit an int64
FEWEST_HELD_OUT = 2  # held-out images that a variance, and so a choice among checkpoints, can be taken of
UNREMEMBERED = (
    "The run was begun by a genshift before 0.3, which kept no manifest: what it held out of {} is worked out again "
    "from the set's name and count, and whether that is right can't be known."
)


@dataclass(frozen=True)
class Domains:
    """What training may see: labelled images, some of them held out, and unlabelled target images.

    `labelled_rows` and `target_rows`, int64, are the images drawn from (None: all), so that a memory-mapped set is not
    copied. By the methods `source` and `target` nothing is drawn from `target`. Its labels are absent by construction.
    `manifest` is what there is to remember of both. `extra` are labelled images that training draws too, in the classes
    of `labelled`: nothing is measured on them.
    """

    labelled: ImageSet
    labelled_rows: Tensor | None
    held_out: ImageSet | None
    target: ImageSet
    target_rows: Tensor | None
    manifest: Manifest
    extra: ImageSet | None = None
    remarks: tuple[str, ...] = ()


def open_domains(
    preset: Adaptation, data_root: Path | None, skip_broken: bool = False, memory: Memory = NEW
) -> Domains:
    """Reads both domains at one size and colour, checks that they go together, holds out the preset's share, or what
    the run held out by its `memory`.

    Raises Refusal where a set is absent, damaged, unlabelled where labels are needed, of another kind or class, or
    lacks images that the run remembers.
    """
    options: dict[str, Any] = {"data_root": data_root, "skip_broken": skip_broken}
    labelled, names = open_set(preset.trains_on, "train", preset, **options)
    if labelled.labels is None:
        raise Refusal(
            f"{preset.trains_on} has no labels: give class folders, or a labels.csv (image_name,label), of two or more "
            "classes."
        )
    if len(labelled.classes) < 2:
        raise Refusal(f"{preset.trains_on} has {len(labelled.classes)} class: two or more are needed.")
    labelled, names, given = with_held_out(labelled, names, preset, **options)
    share, beside = preset.validation, preset.held_out
    labelled, train, known = parted(labelled, "source", preset.trains_on, share, memory, names, given, beside)
    shown = labelled.take(known.held_out[:HELD_OUT_IMAGES]) if len(known.held_out) else None
    if preset.method == "target":
        remarks = tuple(check_pictures(labelled))
        return Domains(labelled, train, shown, labelled.sealed(), train, {"source": known}, remarks=remarks)
    target, _ = open_set(preset.target, "train", preset, labels=False, **options)
    if len(target) < 2:
        raise Refusal(f"{preset.target} has 1 picture to adapt to: two or more are needed, and hundreds are better.")
    remarks = tuple(check_domains(labelled, target))
    extra = _open_extra(preset, labelled, target, **options) if preset.extra else None
    if extra is not None:
        remarks += tuple(check_pictures(extra, f"--extra {preset.extra}"))
    # The reports hold as much of both sets out. Of a user's own pictures, unlabelled, none is left unused.
    share = 0.0 if preset.study == OWN_STUDY else preset.validation
    if memory.own is None:
        target = _in_content_order(target)
    target, drawn, of_target = parted(target, "target", preset.target, share, Memory(memory.own))
    return Domains(labelled, train, shown, target, drawn, {"source": known, "target": of_target}, extra, remarks)


def parted(
    images: ImageSet,
    part: str,
    place: str,
    share: float,
    memory: Memory,
    names: list[str] | None = None,
    given: Tensor | None = None,
    beside: str = "",
) -> tuple[ImageSet, Tensor | None, SetManifest]:
    """The images in the order of training, the rows drawn from (None: all), and what is to be remembered of them: as
    the run remembers them, else parted now, by the share or, where a user gave those to hold out from `beside`, by the
    rows `given`."""
    if memory.own:
        known = memory.own[part]
        images = known.arranged(images, place)
        known = replace(known, place=standing(place), beside=beside and standing(beside))  # elsewhere now, perhaps
    else:
        kept = None if names is None or images.digests is None else tuple(names)
        rows = _held_out(images, share, memory) if given is None else _as_given(images, given, beside, memory.before)
        known = manifest_of(place, images, rows, kept, beside and standing(beside))
        images = _unremembered(images, place, memory)
    return images, known.trained_on if len(known.held_out) else None, known


def _held_out(images: ImageSet, share: float, memory: Memory) -> Tensor | None:
    """The rows held out by a run that begins now, or that was begun without a manifest."""
    return hold_out(images, share, memory.before)[1] if memory.own is None else hold_out_by_name(images, share)


def _unremembered(images: ImageSet, place: str, memory: Memory) -> ImageSet:
    """The same, with a note where the run keeps no manifest: of a user's own set nobody knows what it held out."""
    if memory.own is None or images.catalogued:
        return images
    return replace(images, notes=(*images.notes, UNREMEMBERED.format(place)))


def with_held_out(
    images: ImageSet, names: list[str], preset: Preset, **options: Any
) -> tuple[ImageSet, list[str], Tensor | None]:
    """A set with the pictures that a user gave to hold out (`preset.held_out`), the names of all, and the rows of
    those, int64; None where none are given. Some or all of them may lie in the set itself: they are known by content.

    Raises Refusal where they have no labels and the set has some, are of other classes, or where either is no files.
    """
    if not preset.held_out:
        return images, names, None
    flag = f"--held-out {preset.held_out}"
    held, of_held = open_set(preset.held_out, "train", preset, **{**options, "labels": images.labels is not None})
    given, there = held.digests, images.digests
    if there is None or given is None:
        whose = images.name if there is None else preset.held_out
        raise Refusal(f"{flag} goes by the content of picture files, and {whose} holds none: give --validation.")
    if images.labels is not None:
        if held.labels is None:
            raise Refusal(f"{flag} has no labels: give class folders, or a CSV of pictures and their labels.")
        known = set(map(composed, images.classes))
        if strangers := [name for name in held.classes if composed(name) not in known]:
            raise unknown("class", strangers[0], images.classes, f"{flag} is to have those that are learnt.")
        held = in_classes(held, images.classes)
    # Those of the set stay where they are, the others join it.
    chosen, own = (set(map(bytes, known.numpy())) for known in (given, there))
    fresh = [row for row, digest in enumerate(given.numpy()) if bytes(digest) not in own]
    further = held.take(torch.tensor(fresh, dtype=torch.int64))
    labels = None if images.labels is None or further.labels is None else torch.cat([images.labels, further.labels])
    digests = torch.cat([there, given[fresh]])
    joined = replace(
        images,
        images=torch.cat([images.images, further.images]) if fresh else images.images,
        labels=labels,
        digests=digests,
        notes=(*images.notes, *held.notes),
    )
    rows = [row for row, digest in enumerate(digests.numpy()) if bytes(digest) in chosen]
    return joined, [*names, *(of_held[row] for row in fresh)], torch.tensor(rows)


def _as_given(images: ImageSet, given: Tensor, flag: str, before: Manifest | None) -> Tensor:
    """The rows that a user gave to hold out, and those that the run held out which this one starts from. Refusal where
    a class is left none to train on, or where that run has trained on some of them."""
    held = torch.zeros(len(images), dtype=torch.bool)
    held[given] = True
    for known in (before or {}).values():
        rows = known.rows_in(images)
        learnt, kept = rows[known.trained_on], rows[known.held_out]
        if count := int(held[learnt[learnt >= 0]].sum()):
            raise Refusal(f"--held-out {flag} holds {count:,} pictures that --from has trained on: give others.")
        held[kept[kept >= 0]] = True
    if held.all():
        raise Refusal(f"--held-out {flag} holds every picture out: some must be left to train on.")
    if images.labels is not None:
        left = images.labels[~held].bincount(minlength=len(images.classes))
        if gone := [name for name, count in zip(images.classes, left.tolist(), strict=True) if not count]:
            raise Refusal(f"--held-out {flag} leaves no picture of class '{gone[0]}' to train on: hold fewer out.")
    rows = held.nonzero().flatten()
    return rows[_places(images)[rows].argsort(stable=True)]  # the first of them stand for all


def _in_content_order(target: ImageSet) -> ImageSet:
    """Pictures whose labels are sealed, in an order that no label and no folder moves."""
    if target.digests is None:
        return target
    places = target.digests.numpy().view("S16").ravel()  # only zeros at an end are lost, which moves no order
    return target.take(torch.from_numpy(places.argsort(kind="stable")))


def _open_extra(preset: Adaptation, labelled: ImageSet, target: ImageSet, **options: Any) -> ImageSet:
    """The preset's extra images, their labels counted in the source's classes.

    Pictures of the source would bring held-out ones into training, and the target's their labels: both are refused.
    """
    extra, _ = open_set(preset.extra, "train", preset, **options)
    given = _fingerprints(extra)
    for domain, images in (("source", labelled), ("target", target)):
        if shared := len(given & _fingerprints(images)):
            raise Refusal(
                f"--extra {preset.extra} holds {shared:,} of the {domain}'s own pictures: give others, or leave it out."
            )
    if extra.labels is None:
        raise Refusal(f"--extra {preset.extra} has no labels: give class folders, or a labels.csv (image_name,label).")
    known = set(map(composed, labelled.classes))
    if strangers := [name for name in extra.classes if composed(name) not in known]:
        raise unknown("class", strangers[0], labelled.classes, f"--extra {preset.extra} is to have the source's own.")
    return in_classes(extra, labelled.classes)


def _fingerprints(images: ImageSet) -> set[int]:
    return {hash(image.tobytes()) for image in images.images.numpy()}


def open_set(name: str | Path, split: str, preset: Preset, **options: Any) -> tuple[ImageSet, list[str]]:
    """A set in the preset's size, colour and frame, with one name an image; `options` are `genshift.data.load`'s."""
    size, options = preset.size, {**preset.reading(split), **options}
    if getattr(preset, "frame", "full") == "full" or (data := lookup(name)) is None or not data.fills_frame:
        return load_named(name, split, **options)
    # MNIST's makers scaled digits like these into 20×20 pixels and set them in the middle of 28×28 (LeCun et al. 1998).
    # Contrast row by row, which needs no label, shows MNIST-M's and SVHN's digits on the same rows; USPS's fill all.
    inner = round(size * 20 / 28)
    images, names = load_named(name, split, **{**options, "size": inner})
    before, after = (size - inner) // 2, size - inner - (size - inner) // 2
    return replace(images, images=pad(images.images, (before, after, before, after))), names


def hold_out(images: ImageSet, share: float, before: Manifest | None = None) -> tuple[Tensor | None, Tensor | None]:
    """(rows to train on, rows held out), int64, or (None, None) where the share holds no image.

    Pictures of a user's are parted by their content: the same ones in every run and wherever they lie, and a further
    picture moves no other. A set of the catalogue is parted by its name, a user's file by what is in it. Of labelled
    images every class keeps a picture to train on, and gives one where the share of it is a whole picture. What a run
    knew that this one starts from (`before`, all its sets) stays where it was.
    """
    count = int(share * len(images))
    if count == 0 and not before:
        return None, None
    by_content = images.digests is not None and not images.catalogued
    place = _places(images)
    held = place < (share * PLACES if by_content else count)
    labels = torch.zeros(len(images), dtype=torch.int64) if images.labels is None else images.labels
    held = _every_class_parted(labels, share, place, held)
    if not by_content:
        _keep_count(labels, count, place, held)
    for known in (before or {}).values():
        rows = known.rows_in(images)
        for own, stays in ((known.trained_on, False), (known.held_out, True)):
            held[rows[own][rows[own] >= 0]] = stays
    if not held.any():
        return None, None
    rows = held.nonzero().flatten()
    # In class order, as class folders are read, the first images would not stand for all: these are in the other order.
    if by_content or _class_by_class(images):
        rows = rows[place[rows].argsort(stable=True)]
    return (~held).nonzero().flatten(), rows


def hold_out_by_name(images: ImageSet, share: float) -> Tensor | None:
    """The rows that a run without a manifest held out, int64: a function of its set's name and count alone."""
    count = int(share * len(images))
    if count == 0:
        return None
    held_out = _shuffled(images.name, len(images))[:count]
    return held_out if _class_by_class(images) else held_out.sort().values


def _places(images: ImageSet) -> Tensor:
    """int64 `[N]`, by which images are parted, the lowest held out first. Of pictures a number from 0 to PLACES that
    their content alone gives; otherwise a permutation that a set's name gives, or the content of a user's file."""
    if images.digests is not None and not images.catalogued:
        place = torch.zeros(len(images), dtype=torch.int64)
        for byte in range(7):
            place = place * 256 + images.digests[:, byte]
        return place
    name = images.name if images.catalogued else pixels_of(images)
    return _shuffled(name, len(images)).argsort()


def _shuffled(name: str, count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of("held out", name)))


def _class_by_class(images: ImageSet) -> bool:
    return images.labels is not None and bool((images.labels.diff() >= 0).all())


def _every_class_parted(labels: Tensor, share: float, place: Tensor, held: Tensor) -> Tensor:
    """`held`, bool `[N]`, so that no class is left none to train on, nor none held out although its share is one
    picture or more; those of the lowest `place` are held out first."""
    counts = labels.bincount()
    lowest, highest = (
        torch.zeros_like(counts).scatter_reduce(0, labels, place, reduce, include_self=False)[labels]
        for reduce in ("amin", "amax")
    )
    none_held = labels[held].bincount(minlength=len(counts)) == 0
    held = held | (none_held & (share * counts >= 1))[labels] & (place == lowest)
    all_held = labels[held].bincount(minlength=len(counts)) == counts
    held &= ~(all_held[labels] & (place == highest))
    others = counts[labels] > 1
    if not held.any() and share * len(labels) >= 1 and others.any():
        held = place == place[others].min()
    return held


def _keep_count(labels: Tensor, count: int, place: Tensor, held: Tensor) -> None:
    """Brings those held out to `count`, the share of one file being exact, with images of classes that have others on
    their side: the last of too many go, the first of those that are trained on make up for too few."""
    too_many = int(held.sum()) > count
    rows = (held == too_many).nonzero().flatten()
    for row in rows[place[rows].argsort(descending=too_many)].tolist():
        if int(held.sum()) == count:
            break
        if int((held[labels == labels[row]] == too_many).sum()) > 1:
            held[row] = not too_many


def evaluation_split(name: str) -> str:
    """The split that a set is evaluated on: "test" where it has one, else "valid", else "train"."""
    return measured_on(splits_of(name))


def unseen(
    images: ImageSet,
    split: str,
    share: float,
    memory: Memory,
    part: str,
    most: int | None = None,
) -> tuple[ImageSet | None, str]:
    """What a set's evaluation split holds that is not trained on, and what it is in words.

    The whole of a test split, or of a validation split in its place, but for pictures that are trained on; of the
    training split those held out, at most so many (None where none are): as the run remembers them, or as `parted`.
    Refusal where none of them is there now.
    """
    known = (memory.own or {}).get(part)
    if split != "train":
        words = "test images" if split == "test" else "validation images"
        rows = torch.arange(len(images)) if known is None else known.strangers_in(images)
        if len(rows) == len(images):
            return images, words
        return images.take(rows), f"{words}, without {len(images) - len(rows):,} that were trained on"
    if known is None:
        held_out = _held_out(images, share, memory)
        images = _unremembered(images, images.name, memory)
        return (None if held_out is None else images.take(held_out[:most])), "held-out training images"
    if not len(known.held_out):
        return None, "held-out training images"
    rows = known.rows_in(images)[known.held_out]
    there = rows[rows >= 0]
    if not len(there):
        raise Refusal(
            f"{images.name} holds none of the {len(rows):,} pictures that this run held out: name the place where they "
            "lie now (--data, of two domains --source or --target)."
        )
    gone = f" (of {len(rows):,} these are still there)" if len(there) < len(rows) else ""
    return images.take(there[:most]), f"held-out training images{gone}"


def of_classes(images: ImageSet, classes: tuple[str, ...]) -> tuple[ImageSet, dict[str, int]]:
    """The pictures of these classes, their labels counted in them, and how many pictures each other class has, by its
    name. Where no picture is of them, all of the set without its labels: it is about other things."""
    if images.labels is None:
        return images, {}
    wanted = [composed(name) for name in classes]
    places = [wanted.index(name) if name in wanted else -1 for name in map(composed, images.classes)]
    labels = torch.tensor(places)[images.labels]
    counts = images.labels.bincount(minlength=len(places)).tolist()
    of_each = zip(images.classes, places, counts, strict=True)
    foreign = {name: count for name, place, count in of_each if place < 0 and count}
    known = labels >= 0
    if not known.any():
        return images.sealed(), foreign
    kept = images.take(known.nonzero().flatten()) if foreign else images
    return replace(kept, labels=labels[known], classes=classes), foreign


def foreign_note(name: str, foreign: Mapping[str, int], left: bool) -> str:
    """What is said of pictures of classes that were not learnt; `left`: whether there are others."""
    named = ", ".join(f"{word} ({count:,})" for word, count in list(foreign.items())[:3])
    more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
    what = "its other pictures are measured" if left else "no accuracy is told"
    return f"{name} has pictures of classes that were not learnt, {named}{more}: they are left out, and {what}."


def in_classes(images: ImageSet, classes: tuple[str, ...]) -> ImageSet:
    """The set with its labels counted in `classes`, matched by name, however accents are composed; without labels where
    it has other classes."""
    if images.labels is None or images.classes == classes:
        return images
    own, wanted = ([composed(name) for name in names] for names in (images.classes, classes))
    if not set(own) <= set(wanted):
        return images.sealed()
    table = torch.tensor([wanted.index(name) for name in own])
    return replace(images, labels=table[images.labels], classes=classes)
