"""The live page: trained runs in a browser, on this machine alone.

- `server` is the web application: which addresses it answers, what it sends and refuses. It alone needs the extra
  `studio` (Starlette and uvicorn).
- `workshop.Workshop` knows the runs that it was given, by name, and opens each once; no request names a file.
- `actions` is the table of what the page can ask for; each action is a function of the workshop and of a typed request,
  which returns what JSON can say: `diffusion`, `latents` (VAEs and GANs), `classes` (classifiers and adapted runs),
  `point_map`, `queue` (pictures to label) and `overview` (a folder of runs).
- `pictures` takes uploaded pictures, which stay in memory, and gives pictures to the page.
- `page/` is what the browser gets: one HTML file, one style, and a script for each of the above.

A new control is an action and a row of `actions.ACTIONS`, and the script that asks for it. Everything that is computed
is a function of the rooms above, which the commands use too. Nothing is written into a run but the labels that a user
saves (`queue`).

The package is also the verb: `genshift.studio(RUN)` opens the page, and returns when it is closed.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genshift.paths import AnyPath


class _Verb(ModuleType):
    """This package, callable: importing it puts it where the verb of the same name would stand."""

    def __call__(self, runs: AnyPath | Iterable[AnyPath], **options: Any) -> None:
        """Opens the page of some runs: `genshift.studio.server.studio` says what the options are."""
        from genshift.studio.server import studio

        studio(runs, **options)


sys.modules[__name__].__class__ = _Verb
