"""What a training may see of the data, whatever the family of its preset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from genshift.data import check_pictures, load_named
from genshift.data.feed import TrainingSet, to_device
from genshift.data.imageset import ImageSet
from genshift.data.manifest import NEW, Manifest, Memory
from genshift.errors import Refusal
from genshift.presets import Adaptation, Pictures, Preset
from genshift.training.domains import HELD_OUT_IMAGES, evaluation_split, open_domains, parted, unseen, with_held_out


@dataclass(frozen=True)
class TrainingData:
    """The sets that steps draw from by name, the one first that progress is counted in, and what else training is told.

    `classes` name the labels that are learnt or drawn, and are empty where there are none. `extra` are the images of
    the first set that come from elsewhere, where some do. `manifest` is what a run remembers of its sets.
    """

    parts: dict[str, TrainingSet]
    held_out: ImageSet | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    manifest: Manifest
    extra: ImageSet | None = None

    def describe(self) -> dict[str, Any]:
        """Names, counts and fingerprints for config.json; of a set that others joined, its own and theirs."""
        described: dict[str, Any] = {
            name: {
                "name": part.images.name,
                "n": len(part),
                "held_out": len(part.images) - len(part),
                "fingerprint": part.images.fingerprint(),
                "notes": list(part.images.notes),
            }
            for name, part in self.parts.items()
        }
        for name, known in self.manifest.items():
            described[name]["manifest"] = known.digest()
        if self.extra is not None:
            counted = {"name": self.extra.name, "n": len(self.extra), "fingerprint": self.extra.fingerprint()}
            name, part = next(iter(self.parts.items()))
            own = part.images.take(torch.arange(len(part.images) - len(self.extra)))
            described[name] |= {"fingerprint": own.fingerprint(), "extra": counted}
        return described

    def on(self, device: torch.device) -> TrainingData:
        """The same with its sets on `device`, where they fit."""
        parts = {
            name: TrainingSet(to_device(part.images, device), part.batch, part.flag, part.rows)
            for name, part in self.parts.items()
        }
        return replace(self, parts=parts)


def open_training_data(
    preset: Preset, data_root: Path | None, skip_broken: bool = False, memory: Memory = NEW
) -> TrainingData:
    """Reads what a preset trains on, or what a run does, by its `memory`.

    Raises Refusal where a set is absent, damaged, or lacks what the preset learns (labels, attributes) or the run had.
    """
    if isinstance(preset, Adaptation):
        return _two_domains(preset, data_root, skip_broken, memory)
    return _one_set(cast(Pictures, preset), data_root, skip_broken, memory)


def _two_domains(preset: Adaptation, data_root: Path | None, skip_broken: bool, memory: Memory) -> TrainingData:
    domains = open_domains(preset, data_root, skip_broken, memory)
    flag = f"--batch-{'target' if preset.method == 'target' else 'source'}"
    source = TrainingSet(domains.labelled, preset.step_images, flag, domains.labelled_rows)
    notes = (*domains.labelled.notes, *domains.target.notes, *domains.remarks)
    if domains.extra is not None:
        # Further labelled images of the same classes to draw from; the source is then held in memory with them.
        note = f"{len(domains.extra):,} pictures of {preset.extra} join the source's {len(source):,} in training."
        notes = (*notes, *domains.extra.notes, note)
        real, extra = source.images, domains.extra
        assert real.labels is not None and extra.labels is not None
        pixels, labels = torch.cat([real.images, extra.images]), torch.cat([real.labels, extra.labels])
        rows = torch.arange(len(real)) if source.rows is None else source.rows
        rows = torch.cat([rows, torch.arange(len(real), len(pixels))])
        images = replace(real, images=pixels, labels=labels, attributes=None, attribute_names=())
        source = replace(source, images=images, rows=rows)
    target = TrainingSet(domains.target, preset.batch_target, "--batch-target", domains.target_rows)
    parts = {"source": source, "target": target}
    return TrainingData(parts, domains.held_out, domains.labelled.classes, notes, domains.manifest, domains.extra)


def open_pictures(preset: Pictures, split: str, data_root: Path | None, **options: Any) -> tuple[ImageSet, list[str]]:
    """A split of the preset's set in its size and colour, with one name an image. Of what learns no labels these need
    not be there, nor be right."""
    labels = "any" if preset.learns == "nothing" else True
    options = {"data_root": data_root, "labels": labels, **preset.reading(split), **options}
    images, names = load_named(preset.data, split, **options)
    if preset.labelling_attribute:
        images = images.by_attribute(preset.labelling_attribute)
    return images, names


def open_unseen(
    preset: Pictures, data_root: Path | None, skip_broken: bool = False, memory: Memory = NEW
) -> tuple[ImageSet | None, str]:
    """The pictures to measure on, as `unseen` tells them: the test split, else the share held out."""
    split = evaluation_split(preset.data)
    images, names = open_pictures(preset, split, data_root, skip_broken=skip_broken)
    if split == "train":
        images, _, _ = with_held_out(images, names, preset, data_root=data_root, skip_broken=skip_broken)
    else:
        images = replace(images, notes=(*images.notes, *check_pictures(images)))
    return unseen(images, split, preset.validation, memory, "data")


def _one_set(preset: Pictures, data_root: Path | None, skip_broken: bool, memory: Memory) -> TrainingData:
    images, names = open_pictures(preset, "train", data_root, skip_broken=skip_broken)
    remarks = check_pictures(images)
    classes = _learnt(preset, images)
    images, names, given = with_held_out(images, names, preset, data_root=data_root, skip_broken=skip_broken)
    share, beside = preset.validation, preset.held_out
    images, rows, known = parted(images, "data", preset.data, share, memory, names, given, beside)
    shown = images.take(known.held_out[:HELD_OUT_IMAGES]) if len(known.held_out) else None
    part = TrainingSet(images, preset.step_images, "--batch", rows)
    if len(part) < 2:
        raise Refusal(f"{preset.data} has {len(part)} picture to train on: two or more are needed.")
    return TrainingData({"data": part}, shown, classes, (*images.notes, *remarks), {"data": known})


def _learnt(preset: Pictures, images: ImageSet) -> tuple[str, ...]:
    """The names of what is learnt beside the pictures; Refusal where the set does not tell it."""
    if preset.learns == "attributes":
        if images.attributes is None:
            raise Refusal(f"{preset.data} has no attributes: take celeba with its list_attr_celeba.txt beside it.")
        return images.attribute_names
    if preset.learns == "nothing":
        return ()
    if images.labels is None or len(images.classes) < 2:
        raise Refusal(f"{preset.data} has no classes to learn: give class folders, or a labels.csv (image_name,label).")
    return images.classes
