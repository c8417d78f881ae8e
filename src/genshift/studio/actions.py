"""All that the page can ask for: by name the form of the request, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from genshift.errors import Refusal, unknown
from genshift.studio import classes, diffusion, latents, overview, point_map, queue
from genshift.studio.workshop import Workshop


class Action(NamedTuple):
    """What a request must hold, and what answers it: something that JSON can say, or an iterator of several, which are
    sent as they come."""

    form: type[Struct]
    answer: Callable[[Workshop, Any], Any]


ACTIONS: dict[str, Action] = {
    "overview": Action(overview.All, overview.overview),
    "about": Action(diffusion.OfRun, overview.about),
    "curves": Action(overview.SeveralRuns, overview.curves),
    "compare": Action(overview.All, overview.compared),
    "same-seed": Action(overview.SameSeed, overview.same_seed),
    "draw": Action(diffusion.Draw, diffusion.draw),
    "sweep": Action(diffusion.OfRun, diffusion.sweep),
    "latent": Action(latents.FromSeed, latents.from_seed),
    "encode": Action(latents.OfPicture, latents.from_picture),
    "directions": Action(diffusion.OfRun, latents.directions),
    "move": Action(latents.Move, latents.move),
    "walk": Action(latents.Walk, latents.walk),
    "classify": Action(classes.Classify, classes.classify),
    "map": Action(point_map.MapOf, point_map.point_map),
    "queue": Action(diffusion.OfRun, queue.known),
    "queue-draw": Action(queue.DrawQueue, queue.draw_queue),
    "queue-save": Action(queue.SaveLabels, queue.save_labels),
}


def answer(workshop: Workshop, name: str, body: bytes) -> Any:
    """What the action of that name answers to a request in JSON; Refusal for another name, or another form."""
    if name not in ACTIONS:
        raise unknown("action", name[:60], ACTIONS)
    action = ACTIONS[name]
    try:
        asked = msgspec.json.decode(body, type=action.form)
    except msgspec.DecodeError as error:
        raise Refusal(f"The request '{name}' is not what the page sends ({error}): reload the page.") from None
    return action.answer(workshop, asked)
