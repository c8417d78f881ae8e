"""A trained model to ask: `genshift.load(RUN)` opens a run once, and every question goes to what was opened."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genshift.data import ImageSet
from genshift.data.bounds import read_picture
from genshift.data.dataset import Background, Decoding
from genshift.data.files import is_archive
from genshift.data.formats import further_pages
from genshift.data.pixels import (
    BROKEN,
    Decoded,
    as_array,
    check_options,
    decode,
    finish,
    likely_depth,
    to_colour,
    unheard_pillow,
)
from genshift.errors import Refusal
from genshift.methods import Attributes, ClassifierMethod
from genshift.methods.base import to_bytes
from genshift.methods.vae import VAEMethod
from genshift.metrics.calibration import at_temperature
from genshift.nets import channels
from genshift.paths import AnyPath, given_path
from genshift.runs.png import grid
from genshift.runs.trained_run import TrainedRun, open_run
from genshift.sampling.trained_generator import open_generator
from genshift.sampling.write_samples import asks_for_labels, class_number
from genshift.selection.checkpoint_selection import verdict_of_run
from genshift.training.console import say_training
from genshift.training.domains import in_classes, open_set

Picture = str | Path | bytes | Image.Image | NDArray[Any] | Tensor
Pictures = Picture | ImageSet | Sequence[Picture]
CHANNELS = (1, 3, 4)  # of one picture in an array: grey, colour, colour with alpha
FILES_OF_SETS = (".csv", ".mat", ".bz2", ".gz")  # beside archives
SHOWN = 16  # pictures that a generator shows of itself in a notebook
SOME = 10  # names of classes that a model shows of itself


class Prediction(NamedTuple):
    """A picture's name (its file's, else its number), the class that it is taken for, and how surely (0 to 1)."""

    name: str
    label: str
    confidence: float


class Model:
    """A trained run as a model.

    One that learnt classes or attributes has `predict` and `embed`, a VAE `embed` and `reconstruct`, a generator
    `sample`. Pictures may be a file or its bytes, a PIL picture, an array `[H, W]` or `[H, W, 3]`, a tensor
    `[C, H, W]`, or several of them; or a folder, an `ImageSet` or a data set's name. They are brought to the run's size
    and colour, and read by its rules for rectangular, transparent and 16-bit ones.
    """

    def __init__(self, run: TrainedRun) -> None:
        self.run = run

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of what was learnt beside the pictures; none where nothing was."""
        return self.run.classes

    @cached_property
    def temperature(self) -> float:
        """What confidence is divided by, in logits: of a run with a verdict, so that over its target confidence is in
        the mean what the verdict takes for right; 1 of others."""
        verdict = verdict_of_run(self.run.folder)
        return 1.0 if verdict is None else verdict["temperature"]

    # --- asking -----------------------------------------------------------------------------------------------------

    def predict(self, pictures: Pictures, **reading: Any) -> Any:
        """A `Prediction` of a picture, or of several a list of them; of a run that learnt attributes instead a
        dictionary of each attribute's probability.

        reading: `split`, `data_root` and `skip_broken` of a folder or a data set; `background`, `depth` and
        `encoding` instead of the run's own. Raises Refusal for a run that tells nothing of pictures, or has diverged.
        """
        images, names = self.read(pictures, **reading)
        probabilities = self.probabilities(images.images)
        predictions: list[Any] = self.likeliest(probabilities, names)
        if self.tells_attributes:
            predictions = [dict(zip(self.classes, row, strict=True)) for row in probabilities.tolist()]
        return predictions[0] if _is_one(pictures) else predictions

    @property
    def tells_attributes(self) -> bool:
        """Whether it learnt attributes, which do not exclude one another, instead of classes."""
        return isinstance(self.run.method, Attributes)

    def likeliest(self, probabilities: Tensor, names: Sequence[str]) -> list[Prediction]:
        """The likeliest class of each row of probabilities `[N, K]`, and its confidence, at `temperature`."""
        if self.temperature != 1:
            probabilities = at_temperature(probabilities, self.temperature)
        confidence, label = probabilities.max(1)
        answers = zip(names, label.tolist(), confidence.tolist(), strict=True)
        return [Prediction(name, self.classes[k], sure) for name, k, sure in answers]

    def probabilities(self, images: Tensor) -> Tensor:
        """Of uint8 `[N, C, H, W]`, at the run's size, class (or attribute) probabilities float32 `[N, K]`."""
        method = self.run.method
        if not isinstance(method, ClassifierMethod):
            raise Refusal(f"{self._described()}: it predicts no labels; name a run that learnt classes.")
        probabilities = method.predict(images)
        if not bool(probabilities.isfinite().all()):
            raise Refusal(
                f"{self.run.folder.path} answers with values that are not finite: its training diverged; train with a "
                "lower --lr."
            )
        return probabilities

    def embed(self, pictures: Pictures, **reading: Any) -> NDArray[np.float32]:
        """Latent features float32 `[N, D]`, or `[D]` of one picture; a VAE's are the means of its posterior.

        reading: as in `predict`. Raises Refusal for a run without an encoder.
        """
        images, _ = self.read(pictures, **reading)
        features = self.embed_images(images.images)
        return features[0] if _is_one(pictures) else features

    def embed_images(self, images: Tensor) -> NDArray[np.float32]:
        """As `embed`, of uint8 `[N, C, H, W]` at the run's size."""
        method = self.run.method
        if not isinstance(method, ClassifierMethod | VAEMethod):
            raise Refusal(f"{self._described()}: it has no encoder; name a run of a VAE or of a classifier.")
        return cast(NDArray[np.float32], method.embed(images).numpy())

    def sample(
        self,
        count: int,
        *,
        label: str | int | None = None,
        label_index: int | None = None,
        seed: int = 0,
        **sampling: Any,
    ) -> list[Image.Image]:
        """The first `count` pictures of the series that `seed` names; picture i is the same whatever the count.

        label: a class's name (that of digits is a number: 3 is the class "3"), or "none"; label_index: its place in
        `classes` instead. Without either, the classes take turns. sampling: of a diffusion run, the fields of
        `genshift.presets.Sampling`. Raises Refusal for a run that draws nothing, or cannot draw so.
        """
        name = None if label is None else str(label)
        generator = open_generator(self.run.folder, sampling, asks_for_labels(name, self.classes))
        number = class_number(name, label_index, generator.classes)
        return _as_pil(generator.method.sample(count, seed, label=number))

    def reconstruct(self, pictures: Pictures, **reading: Any) -> Image.Image | list[Image.Image]:
        """A VAE's reconstructions of pictures. reading: as in `predict`. Raises Refusal for a run of another kind."""
        method = self.vae()
        images, _ = self.read_for_generator(pictures, **reading)
        decoded = to_bytes(method.reconstruct(images.images, images.labels if method.classes else None))
        return _as_pil(decoded)[0] if _is_one(pictures) else _as_pil(decoded)

    def vae(self) -> VAEMethod:
        """The method of a VAE's run; Refusal for a run of another kind."""
        method = self.run.method
        if not isinstance(method, VAEMethod):
            raise Refusal(f"{self._described()}: it reconstructs nothing; name a VAE's run.")
        return method

    # --- pictures as the run takes them -----------------------------------------------------------------------------

    def read(
        self,
        pictures: Pictures,
        split: str = "train",
        data_root: Path | str | None = None,
        skip_broken: bool = False,
        labels: bool = False,
        background: Background | None = None,
        depth: int | None = None,
        encoding: str | None = None,
    ) -> tuple[ImageSet, list[str]]:
        """Pictures at the run's size and colour, and one name each. Raises Refusal where they cannot be read."""
        preset = self.run.preset
        given: dict[str, Any] = {"background": background, "depth": depth}
        given = {name: value for name, value in given.items() if value is not None}
        if isinstance(pictures, str | Path) and not _is_picture_file(pictures):
            options: dict[str, Any] = {"data_root": data_root, "skip_broken": skip_broken, "labels": labels, **given}
            if encoding is not None:
                options["encoding"] = encoding
            return open_set(pictures, split, preset, **options)
        if split != "train":
            raise Refusal(f"Pictures that are given one by one have no part '{split}': leave --split {split} out.")
        decoding = replace(Decoding(preset.fit, preset.background, preset.depth), **given)
        check_options(None, None, None, decoding)
        if _is_one(pictures):
            several = [cast(Picture, pictures)]
        else:
            several = list(pictures.images if isinstance(pictures, ImageSet) else cast(Sequence[Picture], pictures))
        if not several:
            raise Refusal("No picture was given: one or more are needed.")
        names = [Path(one).name if isinstance(one, str | Path) else str(number) for number, one in enumerate(several)]
        with unheard_pillow():
            decoded, further = zip(*(_decoded(one, preset.size, decoding) for one in several), strict=True)
        arrays = [torch.from_numpy(one.pixels)[None] for one in decoded]
        images = torch.cat([finish(array, preset.size, preset.colour) for array in arrays])
        highest = max(one.deepest for one in decoded)
        notes = []
        if not decoding.depth and highest and (bits := likely_depth(highest)) < 16:
            notes.append(f"16-bit pictures reach {highest:,} of 65,535: if they hold {bits} bits, give --depth {bits}.")
        pages = zip(names, further, strict=True)
        notes += [f"{name}: not read: {count:,} further page(s)." for name, count in pages if count]
        return ImageSet("pictures", images, notes=tuple(notes)), names

    def read_for_generator(self, pictures: Pictures, **reading: Any) -> tuple[ImageSet, list[str]]:
        """As `read`, in the colour that a generator's networks take, labelled where it is conditional."""
        preset = self.run.preset
        images, names = self.read(pictures, **reading, labels=getattr(preset, "condition", "none") == "classes")
        images = replace(images, images=to_colour(images.images, "rgb" if channels(preset) == 3 else None))
        return in_classes(images, self.classes), names

    # --- what it is -------------------------------------------------------------------------------------------------

    def _described(self) -> str:
        return f"{self.run.folder.path} is {self.run.preset.summary}"

    def __repr__(self) -> str:
        kind = "attributes" if self.tells_attributes else "classes"
        some = ", ".join((*self.classes[:SOME], "…") if len(self.classes) > SOME else self.classes)
        learnt = f"; {len(self.classes)} {kind} ({some})" if self.classes else ""
        return f"<genshift model {self.run.preset.name}: {self.run.preset.summary}{learnt}; {self.run.checkpoint.name}>"

    def _repr_html_(self) -> str:
        shown = html.escape(repr(self)[1:-1])
        if not self.run.preset.draws:
            return f"<p>{shown}</p>"
        return f"<p>{shown}</p>{picture_html(self.sample(SHOWN))}"


def load(run: AnyPath, *, checkpoint: str | None = None, device: str = "auto", threads: int | None = None) -> Model:
    """Opens a run as a model.

    checkpoint: "last" or "best", instead of the one that stands for the run. Raises Refusal where there is no run, or
    no checkpoint yet.
    """
    opened = open_run(given_path(run), checkpoint, on=device, threads=threads)
    say_training(opened)
    return Model(opened)


def picture_html(pictures: Sequence[Image.Image], columns: int = 8) -> str:
    """Pictures of one size as one picture inside an HTML element."""
    arrays = [np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1) for picture in pictures]
    sheet = grid(torch.from_numpy(np.stack(arrays)), columns)
    file = io.BytesIO()
    _as_pil(sheet[None])[0].save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{len(pictures)} pictures" src="data:image/png;base64,{data}">'


def _is_one(pictures: Pictures) -> bool:
    """Whether it is one picture, and so one answer is wanted."""
    if isinstance(pictures, str | Path):
        return _is_picture_file(pictures)
    if isinstance(pictures, Tensor):
        return pictures.ndim < 4
    if isinstance(pictures, np.ndarray):
        return pictures.ndim < 3 or (pictures.ndim == 3 and pictures.shape[-1] in CHANNELS)
    return isinstance(pictures, bytes | Image.Image)


def _is_picture_file(path: str | Path) -> bool:
    """Whether a path is one file, and no set of pictures in one."""
    path = given_path(path)
    return path.is_file() and not is_archive(path) and path.suffix.lower() not in FILES_OF_SETS


def _decoded(picture: Picture, size: int, decoding: Decoding) -> tuple[Decoded, int]:
    """One picture as every other is read (`data.pixels.decode`), and how many further pages its file has; Refusal where
    it is none."""
    try:
        if isinstance(picture, str | Path | bytes):
            data = picture if isinstance(picture, bytes) else read_picture(given_path(picture))
            return decode(data, size, decoding=decoding), further_pages(data)[1]
        if isinstance(picture, Image.Image):
            return as_array(picture.copy(), size, decoding=decoding), 0
    except BROKEN as error:
        named = "What was given" if isinstance(picture, bytes) else picture
        raise Refusal(f"{named} is no picture that can be read ({error}).") from error
    array = picture.permute(1, 2, 0).cpu().numpy() if isinstance(picture, Tensor) and picture.ndim == 3 else picture
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise Refusal(f"Pictures in an array are uint8, 0 to 255, not {array.dtype}: convert them first.")
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[-1] not in CHANNELS):
        raise Refusal(
            f"An array of the shape {list(array.shape)} is no picture: expected [H, W] or [H, W, 3] of an array, "
            "[C, H, W] of a tensor, or several of them."
        )
    return as_array(Image.fromarray(array), size, decoding=decoding), 0


def _as_pil(images: Tensor) -> list[Image.Image]:
    """uint8 `[N, C, H, W]` as PIL pictures."""
    arrays = (image[0] if len(image) == 1 else image.permute(1, 2, 0) for image in images)
    return [Image.fromarray(array.numpy()) for array in arrays]
