"""Trained generators, opened once and ready to draw: a VAE with its fitted mixture, a diffusion model with its sampling
and the early state that guides it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.device import leads_processes
from genshift.errors import Refusal
from genshift.methods import DiffusionMethod, GeneratorMethod, VAEMethod
from genshift.presets import Diffusion, Generator, Sampling
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.owner import trained_by
from genshift.runs.trained_run import WEAK, TrainedRun, load_weak, open_run, preset_of
from genshift.sampling.sampler_settings import SAMPLING, no_sampling, sampling_of, swept
from genshift.training.console import Console, say_training

MIXTURE = "prior.safetensors"

M = TypeVar("M", bound=GeneratorMethod)


@dataclass(frozen=True)
class TrainedGenerator(Generic[M]):
    """A run's generator as it draws. `classes` take turns in its pictures; `sampling` is a diffusion model's; `weights`
    are the files that its pictures depend on, the checkpoint first."""

    folder: RunFolder
    preset: Generator
    method: M
    classes: tuple[str, ...]
    sampling: Sampling | None
    weights: tuple[Path, ...]


def open_generator(
    run: RunFolder,
    sampling: Mapping[str, Any] | None = None,
    labelled: bool = True,
    opened: TrainedRun | None = None,
) -> TrainedGenerator[Any]:
    """The trained generator of a run, ready to draw, with the classes that it then draws.

    opened: the run, where it is open already. sampling: changes to how a diffusion model draws, by the names of
    `Sampling`. labelled: False for pictures of a conditional diffusion model without a label. Raises Refusal for a run
    that draws nothing, has no checkpoint, or whose mixture was not fitted to it, and for changes that the run cannot
    take.
    """
    preset = preset_of(run.config)
    # What the run cannot do is refused before a network is read.
    if not isinstance(preset, Generator):
        raise Refusal(f"{run.path} is {preset.summary}: it draws no pictures; name a generator's run.")
    if not labelled and preset.condition == "none":
        raise Refusal("This run draws pictures of no particular class: leave --label out.")
    chosen = None
    if isinstance(preset, Diffusion):
        if not labelled and not preset.label_dropout:
            raise Refusal(
                f"{run.path} learnt no picture without its label (--label-dropout 0): leave --label none out."
            )
        chosen = sampling_of(run, preset, sampling or {}, labelled)
    elif not labelled:
        learnt = f"{run.path} is {preset.summary}: it learnt no picture without a label"
        raise Refusal(f"{learnt}; leave --label none out.")
    else:
        no_sampling(run, preset, sampling or {})
    # The networks, and what else its pictures depend on.
    if opened is None:
        opened = open_run(run)
        say_training(opened)
    method, classes, weights = opened.method, opened.classes, [opened.checkpoint]
    match method:
        case DiffusionMethod() if chosen is not None:
            method = draw_as(run, method, chosen)
            if not labelled:  # then it draws as a model without classes does
                method.classes, classes = 0, ()
            if chosen.by_weak:
                weights.append(run.checkpoints / WEAK)
        case VAEMethod() if has_mixture(method):
            method.load_prior(_stored_mixture(run, method))
            weights.append(run.path / MIXTURE)
    return TrainedGenerator(run, preset, method, classes, chosen, tuple(weights))


def draw_as(run: RunFolder, method: DiffusionMethod, sampling: Sampling) -> DiffusionMethod:
    """The method drawing so, with the run's early state where that guides; the given one stays as it is.

    Raises Refusal where no early state was kept. Says where the sampling that a sweep chose is of another checkpoint.
    """
    stored = swept(run)
    if stored is not None and stored["images"] != run.seen:
        Console(leads_processes()).say(
            f"note: {run.path / SAMPLING} was chosen at {stored['images']:,} images, and the run stands at "
            f"{run.seen:,}: it is left out; `genshift sweep {run.path}` chooses again."
        )
    method = copy.copy(method)  # the networks are shared: they stay as they are
    method.sampling = sampling
    method.weak = load_weak(run, method) if sampling.by_weak else None
    return method


# --- the mixture that a VAE draws its latent vectors from ---------------------------------------------------------


def has_mixture(method: VAEMethod) -> bool:
    """Whether latent vectors are drawn from a mixture, which must be fitted once the networks have learnt."""
    return method.preset.prior == "mixture"


def fit_and_store(run: RunFolder, method: VAEMethod, train: ImageSet) -> tuple[VAEMethod, str]:
    """The method with a mixture fitted to the training images, which is written into the run folder too, unless
    a training is under way there: it would have other networks soon; and what was chosen, in words."""
    fitted = copy.copy(method)  # the networks are shared: they stay as they are
    reason = fitted.fit_prior(train.images, train.labels)
    if trained_by(run) is None:
        checkpoint.save(run.path / MIXTURE, Checkpoint(fitted.prior_state(), {"images": run.seen}))
    return fitted, reason


def _stored_mixture(run: RunFolder, method: VAEMethod) -> dict[str, Tensor]:
    path = run.path / MIXTURE
    stored = checkpoint.load(path) if path.is_file() else None
    # A mixture fits the latent vectors of the networks that it was fitted to, and no others.
    if stored is None or stored.about.get("images") != run.seen:
        raise Refusal(
            f"{run.path} draws from a mixture that was not fitted to its last checkpoint: "
            f"`genshift evaluate {run.path}` fits it."
        )
    # Of how many components it is, its weights say; the rest follows.
    weights = stored.tensors.get("weights", torch.empty(0))
    shape, latent = (max(1, method.classes), *weights.shape[1:2]), method.preset.latent
    shapes = {"weights": shape, "means": (*shape, latent), "roots": (*shape, latent, latent)}
    expected = {name: torch.empty(own, device="meta") for name, own in shapes.items()}
    checkpoint.check_tensors(stored.tensors, expected, path)
    if (weights < 0).any() or not (weights.sum(1) > 0).all():
        raise Refusal(
            f"{path} holds weights that are no probabilities: move it out of the folder, and evaluate the run again."
        )
    return stored.tensors
