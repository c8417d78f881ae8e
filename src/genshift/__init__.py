"""genshift: a laboratory for generative image models and unsupervised domain adaptation.

The verbs of the command line are functions here: `genshift.train(...)`, `genshift.evaluate(...)` and so on; those of
`genshift data` are in `genshift.data`. They are imported when first used, so that `import genshift` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genshift import data as data
    from genshift import presets as presets
    from genshift.api import demo as demo
    from genshift.api import embed as embed
    from genshift.api import evaluate as evaluate
    from genshift.api import predict as predict
    from genshift.api import reconstruct as reconstruct
    from genshift.api import sample as sample
    from genshift.api import select as select
    from genshift.api import show as show
    from genshift.api import study as study
    from genshift.api import sweep as sweep
    from genshift.api import train as train
    from genshift.cli.listing import ls as ls
    from genshift.report.console import compare as compare
    from genshift.report.page import report as report

__version__ = "0.2.0"

_VERBS = {
    "ls": "genshift.cli.listing",
    "compare": "genshift.report.console",
    **dict.fromkeys(
        ("demo", "embed", "evaluate", "predict", "reconstruct", "sample", "select", "show", "study", "sweep", "train"),
        "genshift.api",
    ),
}
_PACKAGES = ("data", "presets", "report")  # report can be called: see there


def __getattr__(name: str) -> object:
    if name in _PACKAGES:
        return importlib.import_module(f"genshift.{name}")
    if name not in _VERBS:
        raise AttributeError(f"module 'genshift' has no attribute '{name}'")
    return getattr(importlib.import_module(_VERBS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_VERBS, *_PACKAGES})
