"""Folders of PNG files: what a trained generator draws, and what a VAE makes of given pictures."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genshift import device
from genshift.data.folders import NOTE, SHEET
from genshift.data.imageset import ImageSet
from genshift.data.places import digest
from genshift.errors import Refusal, nearest, unknown
from genshift.methods import GeneratorMethod
from genshift.methods.base import CHUNK, EVALUATION_BATCH, to_bytes
from genshift.methods.vae import VAEMethod
from genshift.metrics import reconstruction
from genshift.paths import output_folder
from genshift.runs import checkpoint
from genshift.runs.files import csv_text, read_json, write_json, write_text
from genshift.runs.folder import RunFolder
from genshift.runs.png import grid, write_png
from genshift.sampling.trained_generator import TrainedGenerator, open_generator
from genshift.temporary import remove_litter
from genshift.training.console import Console
from genshift.training.distributed import World, world_of
from genshift.typed_json import Scalar, Whole

GRID, COLUMNS = 32, 8  # pictures of grid.png
LISTED = 20  # names of classes in a refusal
PAIRS = 10  # pictures above their reconstructions
# Ways of naming files, and what files so named look like.
NAMES = {"number": r"\d{5,}(_[^/]*)?\.png", "class": r"[^/]*_\d{3,}\.png", "folder": r"[^/]+/\d{5,}\.png"}
UNLABELLED = "none"  # as a label: pictures of no class, of a model that learnt some without their labels


@dataclass(frozen=True)
class SampleRequest:
    """Pictures number `first` to `first + count - 1` of the series `seed`; of the class named `label`, or number
    `label_index`, or with the label "none" those of a conditional diffusion model without a label.

    names: of the files, a key of NAMES. sampling: changes to how a diffusion model draws.
    """

    count: int
    seed: int = 0
    first: int = 0
    label: str | None = None
    label_index: int | None = None
    names: str = "number"
    sampling: Mapping[str, Any] = field(default_factory=dict)


# --- drawing --------------------------------------------------------------------------------------------------------


def draw(run: RunFolder, request: SampleRequest, out: Path) -> list[Path]:
    """Writes the requested pictures into `out`, numbered, and grid.png of the first 32; what is there stays as it is.

    Picture i of a series is the same whatever the count. Processes that torchrun started share the work. Raises
    Refusal for a run that draws nothing, an unknown label, or a folder that holds anything else.
    """
    if request.count < 1:
        raise Refusal(f"--count must be 1 or more, not {request.count}.")
    if request.first < 0:
        raise Refusal(f"--first must be 0 or more, not {request.first}.")
    if request.names not in NAMES:
        raise unknown("way of naming", request.names, NAMES)
    chosen = device.choose_device()
    device.prepare_process(None, chosen)
    with world_of(chosen.type) as world:
        # What is drawn, of which class.
        labelled = asks_for_labels(request.label, run.whole_config["classes"])
        generator = open_generator(run, request.sampling, labelled)
        label = class_number(request.label, request.label_index, generator.classes)
        classes = generator.classes if label is None else (generator.classes[label],)
        # Where it goes: every process looks at the folder before the leading one writes into it.
        names = FileNames(out, classes, request.names)
        names.check()
        note = _note(generator, request, request.label if label is None else classes[0])
        _check_folder(out, note, NAMES[request.names])
        world.wait()
        if world.leads:
            write_json(out / NOTE, note)
            remove_litter(out)
        world.wait()
        # The pictures, and a grid of the first ones.
        _draw_share(generator.method, request, label, names, world)
        world.wait()
        paths = [names.of(number) for number in range(request.first, request.first + request.count)]
        if world.leads:
            write_png(out / SHEET, grid(torch.stack([_read_png(path) for path in paths[:GRID]]), COLUMNS))
        return paths


@dataclass(frozen=True)
class FileNames:
    """Files of pictures, by number: `classes` (the one that is drawn, where it is one) take turns.

    way: a key of NAMES. A file is named after its number, and its class where classes take turns; or after its class
    and its place among those of the class, from 001; or after its number, in a folder named after its class.
    """

    out: Path
    classes: tuple[str, ...]
    way: str

    def of(self, number: int) -> Path:
        """The file of picture `number`."""
        if self.way == "number" and len(self.classes) < 2:
            return self.out / f"{number:05}.png"
        place, label = divmod(number, len(self.classes))
        name = self.classes[label]
        if self.way == "folder":
            return self.out / name / f"{number:05}.png"
        plain = _plain(name)
        return self.out / (f"{plain}_{place + 1:03}.png" if self.way == "class" else f"{number:05}_{plain}.png")

    def check(self) -> None:
        """Refuses to name files or folders after classes where there are none, or names do not serve."""
        if self.way != "number" and not self.classes:
            raise Refusal(f"These pictures are of no particular class: leave --names {self.way} out.")
        if self.way == "class" and len(set(map(_plain, self.classes))) < len(self.classes):
            raise Refusal("Two of the run's classes would have the same file names: leave --names class out.")
        # A folder's name is the class's, to whoever reads it, so it is not made plain.
        wrong = [name for name in self.classes if name.startswith(".") or "/" in name]
        if self.way == "folder" and wrong:
            raise Refusal(f"The class '{wrong[0]}' can name no folder: leave --names folder out.")


def _plain(name: str) -> str:
    """A class's name as a part of a file's."""
    return re.sub(r"[^\w.-]+", "-", name)


def _draw_share(
    method: GeneratorMethod, request: SampleRequest, label: int | None, names: FileNames, world: World
) -> None:
    """Draws what is missing among this process's chunks."""
    begun = time.monotonic()
    shares = list(_share(request, world, method.chunks_at_once))
    total = sum(map(len, shares))
    with Console(world.leads) as console:
        for numbers in shares:
            # What an earlier call wrote is not written again. Chunks are drawn whole and side by side: from the first
            # to the last that is missing at once.
            missing = [number for number in numbers if not names.of(number).exists()]
            if missing:
                pictures = method.sample(missing[-1] + 1 - missing[0], request.seed, missing[0], label)
            for number in missing:
                write_png(names.of(number), pictures[number - missing[0]])
            console.row(numbers.stop - shares[0].start, total, time.monotonic() - begun, {})


def _share(request: SampleRequest, world: World, at_once: int) -> Iterator[range]:
    """The requested numbers of this process, an even share of the chunks, `at_once` of them at a time."""
    # Pictures are drawn in chunks whatever is asked for: processes share whole ones.
    last = request.first + request.count
    begin, end = request.first // CHUNK, -(-last // CHUNK)
    own, stop = (begin + (end - begin) * rank // world.size for rank in (world.rank, world.rank + 1))
    for chunk in range(own, stop, at_once):
        yield range(max(request.first, chunk * CHUNK), min(last, min(stop, chunk + at_once) * CHUNK))


def asks_for_labels(label: str | None, classes: Sequence[str]) -> bool:
    """False where pictures without a label are asked for; a class may be named so too."""
    return label != UNLABELLED or UNLABELLED in classes


def class_number(label: str | None, index: int | None, classes: Sequence[str]) -> int | None:
    """A class's place among `classes`, by its name or by that place; None for all in turn, and for none of them.

    A number as a label is a name too: classes may be called 3, 7 and 100. Refusal for a class that is not there.
    """
    if label is not None and index is not None:
        raise Refusal("--label and --label-index both name the class: give one of them.")
    if label is None and index is None:
        return None
    if not classes:
        if label == UNLABELLED:
            return None
        raise Refusal(
            f"This run draws pictures of no particular class: leave --label{'' if index is None else '-index'} out."
        )
    names = f"expected one of {', '.join(classes[:LISTED])}{f', … ({len(classes):,} in all)' * (len(classes) > LISTED)}"
    if index is not None:
        if not 0 <= index < len(classes):
            raise Refusal(f"--label-index goes from 0 to {len(classes) - 1}, not {index}: {names}.")
        return index
    if label in classes:
        return classes.index(label)
    close = f"did you mean '{near}'? " if (near := nearest(str(label), classes)) else ""
    raise Refusal(f"There is no class '{label}': {close}{names}; --label-index takes a class's number.")


# --- the folder -----------------------------------------------------------------------------------------------------


class SampleNote(TypedDict, total=False):
    """sample.json; that of an earlier folder says no `names`."""

    run: str
    checkpoint: str
    seed: Whole
    label: str | None
    names: str
    sampling: dict[str, Scalar]
    sha256: str


def _note(generator: TrainedGenerator[Any], request: SampleRequest, label: str | None) -> dict[str, Any]:
    """What makes the pictures what they are, beside their numbers."""
    note = {
        "run": f"{generator.preset.name}, seed {generator.folder.config['seed']}",
        "checkpoint": generator.weights[0].stem,
        "seed": request.seed,
        "label": label,
        "names": request.names,
    }
    if generator.sampling is not None:
        note["sampling"] = asdict(generator.sampling)
    # Other weights under the same names are another series.
    checksum = hashlib.sha256(b"".join(digest(path, "sha256") for path in generator.weights))
    return {**note, "sha256": checksum.hexdigest()}


def _check_folder(out: Path, note: dict[str, Any], pattern: str) -> None:
    """Refuses a folder that holds anything but files of these names, of the same series."""
    output_folder(out)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != ".part")
    names = [path.relative_to(out).as_posix() for path in files]
    if not names:  # new, empty, or nothing but half-written files
        return
    if NOTE not in names:
        raise Refusal(f"--out {out} holds other files: name a new or empty folder.")
    # Pictures of the same series: every line of the notes is the same.
    stored = read_json(out / NOTE, "it holds no samples", SampleNote, "name a new or empty folder")
    before, now = _flat(stored), _flat(note)
    for key, value in now.items():
        if key not in before:
            raise Refusal(f"{out} holds pictures of another kind: name another --out.")
        if before[key] != value:
            raise Refusal(f"{out} holds pictures of the {key} {before[key]}, not {value}: name another --out.")
    # And nothing beside them.
    if strangers := [name for name in names if name not in (NOTE, SHEET) and not re.fullmatch(pattern, name)]:
        raise Refusal(f"--out {out} holds {strangers[0]}, which is no sample: name another folder.")


def _flat(note: Mapping[str, Any]) -> dict[str, Any]:
    """A note with the sampling's options among the others; those of earlier folders have no `names`."""
    others = {key: value for key, value in note.items() if key != "sampling"}
    return {"names": "number", **others, **note.get("sampling", {})}


def _read_png(path: Path) -> Tensor:
    """uint8 `[C, H, W]`."""
    with Image.open(path, formats=("PNG",)) as image:
        array = np.array(image)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


# --- reconstructing -------------------------------------------------------------------------------------------------

Errors = list[tuple[str, float, float, float]]
RECONSTRUCTED = r"\d{5,}\.png|pairs\.png|errors\.csv"
ERRORS = {"mse": reconstruction.mse, "psnr": reconstruction.psnr, "ssim": reconstruction.ssim}


def check_place(out: Path) -> None:
    """Refuses, before any work, a folder that holds what no call of ours left, or that cannot be written to."""
    output_folder(out)
    files = (path for path in out.rglob("*") if path.is_file() and path.suffix != ".part")
    if not (out / NOTE).is_file() and any(files):
        raise Refusal(f"--out {out} holds other files: name a new or empty folder.")


def reconstruct(method: VAEMethod, images: ImageSet, names: Sequence[str], out: Path) -> Errors:
    """Writes the reconstructions of pictures, numbered, pairs.png (pictures above, reconstructions below) and
    errors.csv; returns (image name, MSE, PSNR in decibels, SSIM) for each.

    What an earlier call of the same left, whole or not, is written again, to the same bits. Raises Refusal where `out`
    holds anything else, or a conditional model is given no labels.
    """
    note = {
        "weights": _digest(method),
        "images": images.fingerprint(),
        "image_names": _checksum("\n".join(names).encode(errors="surrogateescape")),
    }
    _check_folder(out, note, RECONSTRUCTED)
    rows: Errors = []
    # Written as they come, so that no more than a part of the reconstructions is in memory.
    for places in torch.arange(len(images)).split(EVALUATION_BATCH):
        part = images.take(places)
        decoded = method.reconstruct(part.images, part.labels if method.classes else None)
        if not rows:  # what can be reconstructed is known now
            write_json(out / NOTE, note)
            remove_litter(out)
            both = torch.cat([part.images[:PAIRS], to_bytes(decoded[:PAIRS])])
            write_png(out / "pairs.png", grid(both, len(both) // 2))
        for number, picture in zip(places.tolist(), to_bytes(decoded), strict=True):
            write_png(out / f"{number:05}.png", picture)
        errors = [measure(part.images, decoded).tolist() for measure in ERRORS.values()]
        rows += zip([names[place] for place in places], *errors, strict=True)
    write_text(out / "errors.csv", csv_text(("image_name", *ERRORS), rows, ".6g"))
    return rows


def _digest(method: VAEMethod) -> str:
    """Of the weights that reconstruct."""
    state = sorted(checkpoint.pack_networks(method.networks).items())
    return _checksum(b"".join(tensor.cpu().contiguous().numpy().tobytes() for _, tensor in state))


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
