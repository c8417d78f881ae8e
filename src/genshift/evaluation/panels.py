"""The pictures that an evaluation leaves in samples/, and the stages of a VAE's latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from genshift.data.batches import seed_of
from genshift.data.imageset import ImageSet
from genshift.data.pixels import to_colour
from genshift.methods import GeneratorMethod, LatentGeneratorMethod
from genshift.methods.base import to_bytes
from genshift.methods.vae import VAEMethod, attribute_direction, interpolate
from genshift.metrics.embedding import tsne
from genshift.metrics.neighbours import nearest_of, nearest_rows
from genshift.runs import checkpoint
from genshift.runs.files import write_whole
from genshift.runs.folder import RunFolder, images_of
from genshift.runs.forms import Evaluation, PictureEntry, Stage
from genshift.runs.png import WHITE, grid, write_png

GRID, COLUMNS = 32, 8  # pictures of a grid of samples
PANEL = 10  # held-out pictures beside their reconstructions
STEPS, PAIRS = 8, 4  # of an interpolation, and how many of them
# Attributes of CelebA that a face can be seen to gain or lose, and how far along their directions.
ATTRIBUTES = ("Male", "Smiling", "Eyeglasses", "Blond_Hair")
AMOUNTS = (-1.0, 0.0, 1.0, 2.0)
EACH, MOST_CLASSES = 10, 20  # samples of each class in a grid, of no more classes
FRAME_MS, LAST_MS, QUALITY = 100, 2_000, 80  # of an animation: noise takes ten times as much without loss
NEIGHBOURS, BESIDE = 3, 8  # training pictures beside each of so many samples
STAGE_ATTRIBUTE = "Male"  # what colours a latent space, where the pictures have attributes


@dataclass(frozen=True)
class ImageWriter:
    """Where pictures are written; each answers to its entry for the report."""

    run: RunFolder

    def keep(
        self,
        name: str,
        images: Tensor,
        columns: int,
        title: str,
        caption: str,
        real: Mapping[str, Sequence[int]] | None = None,
    ) -> PictureEntry:
        """Writes uint8 `[N, C, H, W]` as one picture samples/NAME.png.

        real: the numbers of the images that are real ones, by the option that names their set: a record of the run
        hides them where its terms do not let them be passed on. Without it, all are taken for real, but of the names
        that `report.real_pictures` knows.
        """
        file = f"samples/{name}.png"
        write_png(self.run.path / file, grid(images, columns))
        entry: PictureEntry = {"file": file, "title": title, "caption": caption}
        return entry if real is None else {**entry, "real": {option: list(places) for option, places in real.items()}}

    def animate(self, name: str, frames: Sequence[Tensor], title: str, caption: str) -> PictureEntry:
        """Writes uint8 `[1 or 3, H, W]`, one after the other and again for ever, as samples/NAME.webp."""
        file = f"samples/{name}.webp"
        first, *others = (Image.fromarray(frame.expand(3, -1, -1).permute(1, 2, 0).numpy()) for frame in frames)
        film = {"save_all": True, "append_images": others, "loop": 0, "quality": QUALITY}
        durations = [FRAME_MS] * len(others) + [LAST_MS]
        write_whole(self.run.path / file, lambda path: first.save(path, "WEBP", duration=durations, **film))
        return {"file": file, "title": title, "caption": caption, "real": {}}


def samples(writer: ImageWriter, method: GeneratorMethod, name: str, title: str) -> PictureEntry:
    """The first pictures of series 0."""
    caption = f"{GRID} samples, seed 0, not chosen." + (" The classes take turns." if method.classes else "")
    return writer.keep(name, method.sample(GRID, seed=0), COLUMNS, title, caption, {})


def by_class(writer: ImageWriter, drawn: Tensor, words: str, classes: Sequence[str]) -> PictureEntry:
    """The first pictures of each class of series 0, in which the classes take turns: uint8 `[EACH × classes, C, H, W]`.

    words: how they were drawn, where the series that is measured was not.
    """
    # Classes take turns in a series: every class's pictures stand so many places apart.
    rows = drawn.unflatten(0, (EACH, len(classes))).transpose(0, 1).flatten(0, 1)
    how = f", {words}, which the measures were not" if words else ""
    caption = f"The first {EACH} samples of each class, seed 0, not chosen{how}; rows: {', '.join(classes)}."
    return writer.keep("classes", rows, EACH, "Class by class", caption, {})


def unclipped(writer: ImageWriter, kept: Tensor, free: Tensor, words: str) -> PictureEntry:
    """uint8 pictures `[N, C, H, W]`, and below each the one of the same noise with no predicted picture clipped."""
    caption = f"Above: the first samples, {words}; below: of the same noise, with no predicted picture kept within it."
    return writer.keep("unclipped", torch.cat([kept, free]), len(kept), "With and without clipping", caption, {})


def reconstructions(writer: ImageWriter, held_out: Tensor, decoded: Tensor) -> PictureEntry:
    """The first held-out uint8 pictures `[N, C, H, W]` above their reconstructions, in [0, 1]."""
    both = torch.cat([held_out[:PANEL], to_bytes(decoded[:PANEL])])
    caption = "Above: held-out pictures; below: their reconstructions from the posterior means."
    columns = len(both) // 2
    return writer.keep("reconstructions", both, columns, "Reconstructions", caption, {"data": range(columns)})


@dataclass(frozen=True)
class Ends:
    """Where walks through a latent space begin and end: PAIRS neighbours among the latent vectors `[2 PAIRS, latent]`,
    of classes int64 `[2 PAIRS]` where the model has some; and what they are, in words."""

    latents: Tensor
    labels: Tensor | None
    words: str


def interpolation(writer: ImageWriter, method: LatentGeneratorMethod, ends: Ends) -> PictureEntry:
    """Walks between pairs of latent vectors, each of the class of its first end."""
    pairs = zip(ends.latents[::2], ends.latents[1::2], strict=True)
    walks = torch.cat([interpolate(a, b, STEPS) for a, b in pairs])
    labels = None if ends.labels is None else ends.labels[::2].repeat_interleave(STEPS)
    pictures = to_bytes(method.decode(walks, labels))
    caption = f"Each row: {STEPS} steps on the great circle between the latent vectors of {ends.words}."
    return writer.keep("interpolation", pictures, STEPS, "Interpolation", caption, {})


def drawn_ends(method: LatentGeneratorMethod) -> Ends:
    """Latent vectors from N(0, I), the same in every run; the classes take turns."""
    generator = torch.Generator().manual_seed(seed_of("walk", 0))
    latents = torch.randn(2 * PAIRS, method.preset.latent, generator=generator)
    labels = (torch.arange(2 * PAIRS) // 2 % method.classes) if method.classes else None
    return Ends(latents, labels, "two samples")


def encoded_ends(method: VAEMethod, held_out: ImageSet) -> Ends | None:
    """The first held-out pictures' latent vectors; None where there are too few of them."""
    if len(held_out) < 2 * PAIRS:
        return None
    shown = held_out.take(torch.arange(2 * PAIRS))
    return Ends(method.embed(shown.images), shown.labels if method.classes else None, "two held-out pictures")


def arithmetic(writer: ImageWriter, method: VAEMethod, train: ImageSet, held_out: ImageSet) -> PictureEntry | None:
    """Two held-out pictures moved along the directions of attributes, which are means over training pictures.

    None where the training pictures differ in none of these attributes.
    """
    there = [name for name in ATTRIBUTES if name in train.attribute_names]
    names = [name for name in there if 0 < train.attribute(name).double().mean() < 1]  # some have it, some have not
    if not names or method.classes or len(held_out) < 2:  # with classes, a latent vector alone is no face
        return None
    latents, faces = method.embed(train.images), method.embed(held_out.images[:2])
    moved = []
    for name in names:
        direction = attribute_direction(latents, train.attribute(name).cpu())
        moved += [face + amount * direction for face in faces for amount in AMOUNTS]
    pictures = to_bytes(method.decode(torch.stack(moved)))
    amounts = ", ".join(f"{amount:+g}".replace("+0", "0") for amount in AMOUNTS)
    caption = (
        f"Two held-out pictures, each moved {amounts} times along the mean difference between training pictures with "
        f"an attribute and without; rows: {', '.join(name.replace('_', ' ') for name in names)}."
    )
    return writer.keep("arithmetic", pictures, 2 * len(AMOUNTS), "Attribute arithmetic", caption, {})


def neighbours(writer: ImageWriter, pictures: Tensor, train: Tensor) -> PictureEntry:
    """Samples, uint8 `[N, C, H, W]`, each with the training pictures nearest it."""
    shown = pictures[:BESIDE]  # series 0: not chosen
    rows = nearest_rows(shown, train, min(NEIGHBOURS, len(train)), mirrored=shown.flip(-1))
    beside = torch.cat([torch.cat([sample[None], train[near]]) for sample, near in zip(shown, rows, strict=True)])
    caption = (
        f"In groups of {rows.shape[1] + 1}: a sample, then the training pictures nearest it (Euclidean distance of "
        "pixels, mirror images included)."
    )
    group = rows.shape[1] + 1
    real = {"data": [place for place in range(len(beside)) if place % group]}
    return writer.keep("neighbours", beside, 2 * group, "Nearest training pictures", caption, real)


# --- two domains ----------------------------------------------------------------------------------------------------


def domains(writer: ImageWriter, source: ImageSet, target: ImageSet) -> PictureEntry:
    """Evaluation pictures of both domains: of each class the first, where a domain has labels, else the first ones."""
    rows = [part.take(_one_of_each(part)[:PANEL]) for part in (source, target)]
    columns = min(map(len, rows))
    images = torch.cat([to_colour(part.images[:columns], "rgb") for part in rows])
    caption = f"Evaluation pictures, not chosen. Above: {source.name}, the source; below: {target.name}, the target."
    entry = writer.keep("domains", images, columns, "Both domains", caption)
    return {**entry, "real": {"source": list(range(columns)), "target": list(range(columns, 2 * columns))}}


def _one_of_each(images: ImageSet) -> Tensor:
    """Rows of the first picture of each class, in the classes' order; all rows where there are no labels."""
    if images.labels is None:
        return torch.arange(len(images))
    rows = [(images.labels == label).nonzero().flatten()[:1] for label in range(len(images.classes))]
    return torch.cat(rows)


def mistakes(writer: ImageWriter, target: ImageSet, predicted: Tensor, classes: Sequence[str]) -> PictureEntry | None:
    """The first labelled target pictures that were got wrong, with what they were taken for and what they are; None
    where there is none. predicted: int64 `[N]`, of the pictures of `target`."""
    assert target.labels is not None
    wrong = (predicted.cpu() != target.labels.cpu()).nonzero().flatten()
    if not len(wrong):
        return None
    rows = wrong[:PANEL]
    shown, answers = target.take(rows), predicted.cpu()[rows].tolist()
    assert shown.labels is not None
    under = [f"{classes[one]}\nis {classes[other]}" for one, other in zip(answers, shown.labels.tolist(), strict=True)]
    caption = (
        f"The first {len(rows)} of {len(wrong):,} mistakes among {len(target):,} test pictures of {target.name}. Below "
        "each: what it was taken for, and what it is by the target's label, which the evaluation alone reads."
    )
    entry = writer.keep("mistakes", to_colour(shown.images, "rgb"), len(rows), "Mistakes", caption)
    return {**entry, "under": under, "real": {"target": list(range(len(rows)))}}


def surest(
    writer: ImageWriter, target: ImageSet, probabilities: Tensor, classes: Sequence[str], least: bool = False
) -> PictureEntry:
    """Of each class the pictures that are most surely taken for it, or `least` surely: what the class looks like to the
    model. probabilities: `[N, K]`, of the pictures of `target`; no label is looked at."""
    sure, said = probabilities.cpu().max(1)
    images = to_colour(target.images, "rgb").cpu()
    blank = torch.full_like(images[:1], WHITE)
    shown: list[Tensor] = []
    real: list[int] = []
    for label in range(min(len(classes), MOST_CLASSES)):
        rows = (said == label).nonzero().flatten()
        rows = rows[sure[rows].argsort(descending=not least, stable=True)][:COLUMNS]
        real += range(len(shown) * COLUMNS, len(shown) * COLUMNS + len(rows))
        shown.append(torch.cat([images[rows], blank.expand(COLUMNS - len(rows), -1, -1, -1)]))
    how, name = ("least", "least-sure") if least else ("most", "surest")
    rows_are = ", ".join(f"{classes[label]} ({int((said == label).sum()):,})" for label in range(len(shown)))
    caption = (
        f"Of each class the {COLUMNS} pictures of {target.name} that are {how} surely taken for it; rows, with how "
        f"many pictures are: {rows_are}."
    )
    title = "Least surely taken for it" if least else "What each class looks like to the model"
    return writer.keep(name, torch.cat(shown), COLUMNS, title, caption, {"target": real})


def contested(writer: ImageWriter, target: ImageSet, probabilities: Tensor, classes: Sequence[str]) -> PictureEntry:
    """The target pictures whose two likeliest classes are nearest each other, with both; arguments as `surest`."""
    likeliest, named = probabilities.cpu().topk(2, dim=1)
    rows = (likeliest[:, 0] - likeliest[:, 1]).argsort(stable=True)[:PANEL]
    pairs = [zip(named[row].tolist(), likeliest[row].tolist(), strict=True) for row in rows.tolist()]
    under = ["\n".join(f"{classes[label]} {share:.0%}" for label, share in pair) for pair in pairs]
    caption = f"The {len(rows)} pictures of {target.name} on which the model is most in two minds; its two classes."
    images = to_colour(target.images[rows], "rgb")
    entry = writer.keep("contested", images, len(rows), "In two minds", caption, {"target": range(len(rows))})
    return {**entry, "under": under}


def nearest_source(
    writer: ImageWriter, target: ImageSet, source: ImageSet, features: Mapping[str, Tensor], classes: Sequence[str]
) -> PictureEntry:
    """The first target pictures, and below each the source picture whose features are nearest; `features` of both, by
    "target" and "source", `[N, D]`."""
    count = min(PANEL, len(target))
    rows = nearest_of(features["target"][:count], features["source"], 1)[1][:, 0]
    images = torch.cat([to_colour(part, "rgb").cpu() for part in (target.images[:count], source.images[rows])])
    labels = None if source.labels is None else source.labels[rows].tolist()
    under = [] if labels is None else [classes[label] for label in labels]
    caption = f"Above: the first pictures of {target.name}; below: the picture of {source.name} nearest in features."
    real = {"target": range(count), "source": range(count, 2 * count)}
    entry = writer.keep("nearest", images, count, "The nearest source pictures", caption, real)
    return {**entry, "under": under}


# --- over training --------------------------------------------------------------------------------------------------


def numbered(run: RunFolder, kind: str) -> dict[int, Path]:
    """Files of samples/ by the images that had been seen: of the kind "images" (grids) or "latents"."""
    paths = sorted((run.path / "samples").glob(f"{kind}-*.*"))
    return {images_of(path): path for path in paths}


def snapshots(run: RunFolder) -> list[PictureEntry]:
    """The grids over training."""
    return [{"images": images, "file": f"samples/{path.name}"} for images, path in numbered(run, "images").items()]


def kept_latents(run: RunFolder, held_out: ImageSet) -> dict[int, dict[str, Tensor]]:
    """What was kept of the held-out pictures' latent vectors, by the images seen at the first, the middle and the last
    check: `latents`, the posterior means `[N, latent]`, and `log_variances` of the same shape, which 0.2 did not keep.
    """
    kept = numbered(run, "latents")
    counts = list(kept)
    first_middle_last = dict.fromkeys((counts[0], counts[len(counts) // 2], counts[-1])) if counts else {}
    vectors = torch.empty(len(held_out), run.config["preset"]["fields"]["latent"], device="meta")
    found = {}
    for images in first_middle_last:
        held = checkpoint.load(kept[images]).tensors
        names = ("latents", "log_variances") if "log_variances" in held else ("latents",)
        checkpoint.check_tensors(held, dict.fromkeys(names, vectors), kept[images])
        found[images] = held
    return found


def stages(run: RunFolder, held_out: ImageSet) -> Evaluation:
    """t-SNE of the held-out pictures' latent vectors at the first, the middle and the last check, and what colours it.

    Empty where nothing was kept or the pictures have neither attributes nor labels.
    """
    attribute, colours = "class", held_out.labels
    if STAGE_ATTRIBUTE in held_out.attribute_names:
        attribute, colours = STAGE_ATTRIBUTE, held_out.attribute(STAGE_ATTRIBUTE).int()
    if colours is None or not numbered(run, "latents"):  # nothing to colour the points by, or no VAE
        return {}
    stages: list[Stage] = []
    for images, held in kept_latents(run, held_out).items():
        xy = tsne(held["latents"], seed=0)
        x, y = ([round(float(value), 3) for value in column] for column in xy.T)
        stages.append({"images": images, "x": x, "y": y, "label": colours.tolist()})
    return {"attribute": attribute, "stages": stages}
