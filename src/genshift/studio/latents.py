"""What the page asks of a VAE or a GAN: where latent vectors come from, what is decoded of them, and ways between them.

The page holds the latent vectors and sends them back, so that no picture stays here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from msgspec import Meta, Struct
from torch import Tensor

from genshift.data.pixels import to_colour
from genshift.errors import Refusal
from genshift.evaluation.generation import as_taken
from genshift.methods import LatentGeneratorMethod
from genshift.methods.base import CHUNK, to_bytes
from genshift.methods.vae import VAEMethod, attribute_direction, interpolate
from genshift.metrics.reconstruction import psnr
from genshift.nets import channels
from genshift.presets import Pictures
from genshift.sampling.trained_generator import open_generator
from genshift.studio.diffusion import OfRun, Seed
from genshift.studio.pictures import png, uploaded
from genshift.studio.workshop import Opened, Workshop

PRINCIPAL = 8  # directions of the largest variance
MOST_ATTRIBUTES = 40
LONGEST = 16_384  # numbers of a latent vector
Latent = Annotated[list[float], Meta(max_length=LONGEST)]
Steps = Annotated[int, Meta(ge=2, le=24)]


class FromSeed(Struct, forbid_unknown_fields=True):
    """The latent vector of the first picture of a series. truncation: see `truncated`."""

    run: str
    seed: Seed = 0
    label: int | None = None
    truncation: Annotated[float, Meta(gt=0, le=4)] | None = None


class OfPicture(Struct, forbid_unknown_fields=True):
    """An own picture, base64 of its file."""

    run: str
    picture: str
    label: int | None = None


class Move(Struct, forbid_unknown_fields=True):
    """A latent vector, moved along directions by so many of their steps."""

    run: str
    latent: Latent
    amounts: dict[str, float] = {}
    label: int | None = None


class Walk(Struct, forbid_unknown_fields=True):
    """From one latent vector to another."""

    run: str
    start: Latent
    end: Latent
    steps: Steps = 8
    label: int | None = None


def from_seed(workshop: Workshop, asked: FromSeed) -> dict[str, Any]:
    """The vector that `genshift sample` decodes to the first picture of that seed, and the picture."""
    opened = workshop.open(asked.run)
    with workshop.computing:
        method = generator_of(opened)
        label = _label(method, asked.label)
        generator, labels = method.start(0, asked.seed, None if label is None else int(label))
        latent = method.latents(generator, CHUNK, labels)[0]
        if asked.truncation is not None:
            latent = truncated(latent, asked.truncation)
        return {"latent": latent.tolist(), "picture": _decoded(method, latent, label)}


def from_picture(workshop: Workshop, asked: OfPicture) -> dict[str, Any]:
    """An own picture as the run sees it, the mean of its posterior, and what is decoded from that."""
    opened = workshop.open(asked.run)
    data = uploaded(asked.picture)
    with workshop.computing:
        method = opened.model.vae()
        label = _label(method, asked.label)
        seen, _ = opened.model.read(data)
        taken = to_colour(seen.images, "rgb" if channels(opened.preset) == 3 else None)
        latent = method.embed(taken)[0]
        decoded = method.decode(latent[None], label)
        error = psnr(taken, decoded).item()
    shown = {"picture": png(taken[0]), "decoded": png(to_bytes(decoded)[0])}
    return {"latent": latent.tolist(), "psnr": error if math.isfinite(error) else None, **shown}


def directions(workshop: Workshop, asked: OfRun) -> list[dict[str, Any]]:
    """Along what a VAE's latent vectors can be moved: attributes of its pictures, and principal directions."""
    opened = workshop.open(asked.run)
    with workshop.computing:
        return [{"name": one.name, "kind": one.kind} for one in _directions(opened)]


def move(workshop: Workshop, asked: Move) -> dict[str, Any]:
    """The picture of a latent vector that was moved."""
    opened = workshop.open(asked.run)
    with workshop.computing:
        method = generator_of(opened)
        latent = _vector(method, asked.latent)
        if asked.amounts:
            known = {one.name: one for one in _directions(opened)}
            if strangers := [name for name in asked.amounts if name not in known]:
                raise Refusal(f"There is no direction '{strangers[0]}': reload the page.")
            for name, amount in asked.amounts.items():
                latent = latent + max(-10.0, min(10.0, amount)) * known[name].vector
        return {"latent": latent.tolist(), "picture": _decoded(method, latent, _label(method, asked.label))}


def walk(workshop: Workshop, asked: Walk) -> dict[str, Any]:
    """Pictures on the great circle between two latent vectors, both ends included."""
    opened = workshop.open(asked.run)
    with workshop.computing:
        method = generator_of(opened)
        start, end = (_vector(method, values) for values in (asked.start, asked.end))
        way = interpolate(start, end, asked.steps)
        label = _label(method, asked.label)
        decoded = to_bytes(method.decode(way, None if label is None else label.expand(len(way))))
    return {"pictures": list(map(png, decoded))}


def truncated(latent: Tensor, threshold: float) -> Tensor:
    """A vector from N(0, I) as one from the same within ±threshold, by its place in the distribution: as truncation in
    BigGAN (arXiv 1809.11096, section 3.1), but that a small change of the threshold changes it little."""
    edge = torch.special.ndtr(torch.tensor(threshold, dtype=torch.float64))
    share = torch.special.ndtr(latent.double())
    within = (1 - edge) + share * (2 * edge - 1)
    return torch.special.ndtri(within).clamp(-threshold, threshold).float()


# --- what stands behind -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Direction:
    """A direction in latent space: float32 `[latent]`, one step long."""

    name: str
    kind: str
    vector: Tensor


def generator_of(opened: Opened) -> LatentGeneratorMethod:
    """The run's decoder or generator; Refusal for a run without one, and where a mixture that it draws from is not
    there."""
    run = opened.model.run
    if not isinstance(run.method, LatentGeneratorMethod):
        raise Refusal(f"{run.folder.path.name} is {run.preset.summary}: it decodes no latent vectors.")
    method: LatentGeneratorMethod = opened.once("generator", lambda: open_generator(run.folder, opened=run)).method
    return method


def _directions(opened: Opened) -> Sequence[Direction]:
    method, preset = opened.model.vae(), opened.preset
    assert isinstance(preset, Pictures)

    def found() -> list[Direction]:
        pictures = as_taken(preset, opened.training_pictures)
        latents = method.embed(pictures.images)
        # Attributes, of which some pictures have each and some have not: a step is the whole difference.
        named = []
        for name in pictures.attribute_names[:MOST_ATTRIBUTES]:
            has = pictures.attribute(name).cpu()
            if has.any() and not has.all():
                vector = attribute_direction(latents, has)
                named.append(Direction(name.replace("_", " "), "attribute", vector))
        # Principal directions: a step is a standard deviation of the latent vectors along each.
        centred = latents - latents.mean(0)
        _, spread, axes = torch.linalg.svd(centred, full_matrices=False)
        steps = spread / math.sqrt(max(1, len(latents) - 1))
        pairs = zip(axes[:PRINCIPAL], steps[:PRINCIPAL], strict=True)
        principal = [Direction(f"principal {n}", "principal", axis * step) for n, (axis, step) in enumerate(pairs, 1)]
        return named + principal

    return opened.once("directions", found)


def _vector(method: LatentGeneratorMethod, values: Sequence[float]) -> Tensor:
    if len(values) != method.preset.latent or not all(map(math.isfinite, values)):
        raise Refusal(f"A latent vector of this run has {method.preset.latent} numbers, not {len(values)}.")
    return torch.tensor(values, dtype=torch.float32)


def _label(method: LatentGeneratorMethod, label: int | None) -> Tensor | None:
    """int64 `[1]`, the first class where none is named; None of a run without classes."""
    if not method.classes:
        return None
    number = 0 if label is None else label
    if not 0 <= number < method.classes:
        raise Refusal(f"There is no class number {number}: the run learnt {method.classes}, from 0.")
    return torch.tensor([number])


def _decoded(method: LatentGeneratorMethod, latent: Tensor, label: Tensor | None) -> str:
    return png(to_bytes(method.decode(latent[None], label))[0])


def is_vae(opened: Opened) -> bool:
    """Whether the run can encode pictures too."""
    return isinstance(opened.model.run.method, VAEMethod)
