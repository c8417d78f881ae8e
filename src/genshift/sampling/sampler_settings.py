"""Trained generators, opened to draw: a VAE with its fitted mixture, a diffusion model with its sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.device import leads_processes
from genshift.errors import Refusal, unknown
from genshift.methods import DiffusionMethod, GeneratorMethod, Method
from genshift.methods.vae import VAEMethod
from genshift.presets import Diffusion, Generator, Preset, Sampling
from genshift.presets.base import flag
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.files import read_json
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run, preset_of
from genshift.sampling.autoguidance import load_weak
from genshift.training.console import Console

MIXTURE = "prior.safetensors"
SAMPLING = "sampling.json"
GUIDANCE = ("guide", "guidance", "guidance_from", "guidance_to", "skip")


def open_generator(
    run: RunFolder, sampling: Mapping[str, Any] | None = None, labelled: bool = True
) -> tuple[Generator, GeneratorMethod, tuple[str, ...]]:
    """The trained generator of a run, ready to draw, with its preset and the classes that it then draws.

    sampling: changes to how a diffusion model draws, by the names of `Sampling`. labelled: False for pictures of a
    conditional diffusion model without a label. Raises Refusal for a run that draws nothing, has no checkpoint, or
    whose mixture was not fitted to it, and for changes that the run cannot take.
    """
    preset = preset_of(run.config)
    if not isinstance(preset, Generator):
        raise Refusal(f"{run.path} is {preset.summary}: it draws no pictures; name a generator's run.")
    if not labelled:
        _check_unlabelled(run, preset)
    sampling_of(run, preset, sampling or {}, labelled)  # refuses before a network is read
    opened = open_run(run)
    method, classes = opened.method, opened.classes
    assert isinstance(method, GeneratorMethod)
    if isinstance(method, VAEMethod) and has_mixture(method):
        method.load_prior(_stored_mixture(run))
    set_sampling(run, method, sampling or {}, labelled)
    if not labelled:
        method.classes, classes = 0, ()
    return preset, method, classes


def _check_unlabelled(run: RunFolder, preset: Generator) -> None:
    if preset.condition == "none":
        raise Refusal("This run draws pictures of no particular class: leave --label out.")
    if not isinstance(preset, Diffusion):
        raise Refusal(f"{run.path} is {preset.summary}: it learnt no picture without a label; leave --label none out.")
    if not preset.label_dropout:
        raise Refusal(f"{run.path} learnt no picture without its label (--label-dropout 0): leave --label none out.")


# --- how a diffusion model draws ------------------------------------------------------------------------------------


def sampling_of(run: RunFolder, preset: Preset, changes: Mapping[str, Any], labelled: bool = True) -> Sampling | None:
    """How a diffusion run draws: `changes` before what a sweep chose, before the preset's own; None for other runs.

    labelled: whether pictures are drawn of labels. Without them there is nothing that an unconditional guide could
    guide away from, and guidance is off. Raises Refusal for changes that the run cannot take.
    """
    if not isinstance(preset, Diffusion):
        if changes:
            raise Refusal(f"{run.path} is {preset.summary}: it has no {flag(next(iter(changes)))}; leave it out.")
        return None
    if strangers := [name for name in changes if name not in _names()]:
        raise unknown("sampling option", strangers[0], _names())
    stored = _swept(run)
    before = stored["sampling"] if stored is not None and stored["images"] == run.seen else {}
    chosen = preset.replaced(**{**before, **changes}).sampling()
    if not chosen.by_label or (labelled and preset.condition != "none"):
        return chosen
    plain = Sampling()
    if given := [name for name in GUIDANCE if name in changes and changes[name] != getattr(plain, name)]:
        why = "pictures without a label are asked for" if preset.condition != "none" else "it learnt no labels"
        raise Refusal(f"{run.path} has nothing to guide away from, as {why}: leave {flag(given[0])} out.")
    return unguided(chosen)


def unguided(sampling: Sampling) -> Sampling:
    """The same without guidance."""
    return replace(sampling, **{name: getattr(Sampling(), name) for name in GUIDANCE})


def set_sampling(run: RunFolder, method: Method, changes: Mapping[str, Any], labelled: bool = True) -> None:
    """Makes a run's opened method draw as `sampling_of` says, with its early state where that guides.

    Raises Refusal as that does, and where no early state was kept.
    """
    chosen = sampling_of(run, preset_of(run.config), changes, labelled)
    if not isinstance(method, DiffusionMethod) or chosen is None:
        return
    stored = _swept(run)
    if stored is not None and stored["images"] != run.seen:
        Console(leads_processes()).say(
            f"note: {run.path / SAMPLING} was chosen at {stored['images']:,} images, and the run stands at "
            f"{run.seen:,}: it is left out; `genshift sweep {run.path}` chooses again."
        )
    method.sampling = chosen
    if chosen.by_weak:
        method.weak = load_weak(run, method)


def _swept(run: RunFolder) -> dict[str, Any] | None:
    """What a sweep wrote into the run; Refusal where it is none of ours."""
    path = run.path / SAMPLING
    if not path.exists():
        return None
    stored = read_json(path, "sweep the run first")
    if not _is_sampling(stored):
        raise Refusal(f"{path} is no sampling that `genshift sweep` wrote: remove it, and sweep again.")
    return stored


def _is_sampling(stored: Any) -> bool:
    if not isinstance(stored, dict) or not isinstance(stored.get("images"), int):
        return False
    plain, given = Sampling(), stored.get("sampling")
    if not isinstance(given, dict) or not set(given) <= set(_names()):
        return False
    kinds = {name: type(getattr(plain, name)) for name in given}
    return all(isinstance(given[name], (int, float) if kind is float else kind) for name, kind in kinds.items())


def _names() -> list[str]:
    return [f.name for f in fields(Sampling)]


# --- the mixture that a VAE draws its latent vectors from ---------------------------------------------------------


def has_mixture(method: GeneratorMethod) -> bool:
    """Whether latent vectors are drawn from a mixture, which must be fitted once the networks have learnt."""
    return isinstance(method, VAEMethod) and method.preset.prior == "mixture"


def fit_and_store(run: RunFolder, method: VAEMethod, train: ImageSet) -> str:
    """Fits the mixture to the training images and writes it into the run folder; what was chosen, in words."""
    reason = method.fit_prior(train.images, train.labels)
    checkpoint.save(run.path / MIXTURE, Checkpoint(method.prior_state(), {"images": run.seen}))
    return reason


def _stored_mixture(run: RunFolder) -> dict[str, Tensor]:
    path = run.path / MIXTURE
    fits = path.is_file() and (found := checkpoint.load(path)).about["images"] == run.seen
    if not fits:
        raise Refusal(
            f"{run.path} draws from a mixture that was not fitted to its last checkpoint: "
            f"`genshift evaluate {run.path}` fits it."
        )
    return found.tensors
