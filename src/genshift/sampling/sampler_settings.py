"""How a diffusion run draws: a user's changes, before what a sweep chose and left in the run, before the preset's own.

`trained_generator` opens a run with these settings; `evaluation.sweep` chooses and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genshift.errors import Refusal, unknown
from genshift.presets import Diffusion, Preset, Sampling
from genshift.presets.base import flag
from genshift.presets.diffusion import DRAWING
from genshift.runs.folder import RunFolder
from genshift.runs.forms import SAMPLING, Best

# What is as in `Sampling()` where a sampling is unguided.
GUIDANCE = ("guide", "guidance", "guidance_from", "guidance_to", "skip")
MOST_STEPS = 100  # that are waited for while a model trains, and in an evaluation that is asked for no number


def sampling_of(run: RunFolder, preset: Diffusion, changes: Mapping[str, Any], labelled: bool = True) -> Sampling:
    """How a diffusion run draws: `changes` before what a sweep chose, before the preset's own.

    labelled: whether pictures are drawn of labels. Without them there is nothing that an unconditional guide could
    guide away from, and guidance is off. Raises Refusal for changes that the run cannot take.
    """
    if strangers := [name for name in changes if name not in DRAWING]:
        raise unknown("sampling option", strangers[0], DRAWING)
    if preset.folded is not None:
        changes = _without_folded(run, preset.folded, changes)
    # What was best for another checkpoint says nothing of this one.
    stored = swept(run)
    before = stored["sampling"] if stored is not None and stored["images"] == run.seen else {}
    chosen = preset.replaced(**{**before, **changes}).sampling()
    if not chosen.by_label or (labelled and preset.condition != "none"):
        return chosen
    # Without labels: values that mean no guidance may be given, others were meant to have an effect.
    plain = Sampling()
    if given := [name for name in GUIDANCE if name in changes and changes[name] != getattr(plain, name)]:
        why = "pictures without a label are asked for" if preset.condition != "none" else "it learnt no labels"
        raise Refusal(f"{run.path} has nothing to guide away from, as {why}: leave {flag(given[0])} out.")
    return unguided(chosen)


def _without_folded(run: RunFolder, folded: Sampling, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes without those that name the guidance which is folded in; Refusal of any other guidance."""
    for name in GUIDANCE:
        if name in changes and changes[name] != (own := getattr(folded, name)):
            raise Refusal(
                f"{run.path} has {flag(name)} {own} folded in, and can draw with no other: leave {flag(name)} "
                f"{changes[name]} out, or distill its teacher into another student with it."
            )
    return {name: value for name, value in changes.items() if name not in GUIDANCE}


def no_sampling(run: RunFolder, preset: Preset, changes: Mapping[str, Any]) -> None:
    """Refuses changes to how a run draws that has no sampling, for it is no diffusion model's."""
    if changes:
        raise Refusal(f"{run.path} is {preset.summary}: it has no {flag(next(iter(changes)))}; leave it out.")


def unguided(sampling: Sampling) -> Sampling:
    """The same without guidance."""
    return replace(sampling, **{name: getattr(Sampling(), name) for name in GUIDANCE})


def in_few_steps(sampling: Sampling) -> Sampling:
    """A multistep solver with the same guidance, where the sampling takes more steps than may be waited for."""
    return sampling if sampling.steps <= MOST_STEPS else replace(sampling, sampler="dpm++2m", steps=20, skip=0.0)


def shown_sampling(preset: Diffusion, steps: int) -> Sampling:
    """The preset's own sampler, guidance and skipping, in `steps` steps, whatever a sweep chose. Refusal for steps that
    it cannot take."""
    own = preset.replaced(steps=steps).sampling()
    return unguided(own) if own.by_label and preset.condition == "none" else own


def swept(run: RunFolder) -> Best | None:
    """What a sweep wrote into the run; Refusal where it is none of ours."""
    path = run.path / SAMPLING
    if not path.exists():
        return None
    stored: Best = run.read(SAMPLING)
    if not _is_sampling(stored["sampling"]):
        raise Refusal(f"{path} is no sampling that `genshift sweep` wrote: move it out of the folder, and sweep again.")
    return stored


def _is_sampling(given: Mapping[str, Any]) -> bool:
    """Whether there are options of `Sampling` alone, and each of the right type."""
    if not set(given) <= set(DRAWING):
        return False
    plain = Sampling()
    types = {name: type(getattr(plain, name)) for name in given}
    # JSON writes 2.0 as 2 where a user did.
    return all(isinstance(given[name], (int, float) if kind is float else kind) for name, kind in types.items())
