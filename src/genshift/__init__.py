"""genshift: a laboratory for generative image models and unsupervised domain adaptation.

The verbs of the command line are functions here: `genshift.train(...)`, `genshift.evaluate(...)` and so on; those of
`genshift data` are in `genshift.data`. `genshift.load(RUN)` is a trained model to ask. `method`, `backbone`, `data_set`
and `load_plugin` bring in what is a user's own. All are imported when first used, so that `import genshift` needs no
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genshift import data as data
    from genshift import presets as presets
    from genshift.api import bundle as bundle
    from genshift.api import clean as clean
    from genshift.api import demo as demo
    from genshift.api import distill as distill
    from genshift.api import embed as embed
    from genshift.api import evaluate as evaluate
    from genshift.api import export as export
    from genshift.api import label as label
    from genshift.api import predict as predict
    from genshift.api import push as push
    from genshift.api import reconstruct as reconstruct
    from genshift.api import sample as sample
    from genshift.api import select as select
    from genshift.api import show as show
    from genshift.api import study as study
    from genshift.api import sweep as sweep
    from genshift.api import train as train
    from genshift.cli.listing import ls as ls
    from genshift.data import register as data_set
    from genshift.errors import Refusal as Refusal
    from genshift.model import Model as Model
    from genshift.model import load as load
    from genshift.papers import Paper as Paper
    from genshift.plugins import load_plugin as load_plugin
    from genshift.presets import Option as Option
    from genshift.presets import backbone as backbone
    from genshift.presets import method as method
    from genshift.report.console import compare as compare
    from genshift.report.page import report as report
    from genshift.run import Run as Run
    from genshift.studio.server import studio as studio

__version__ = "0.3.0"

# Where each name is at home, and its own name there.
_HOMES = {
    "ls": "genshift.cli.listing:ls",
    "compare": "genshift.report.console:compare",
    "load": "genshift.model:load",
    "Model": "genshift.model:Model",
    "Run": "genshift.run:Run",
    "Refusal": "genshift.errors:Refusal",
    "Paper": "genshift.papers:Paper",
    "Option": "genshift.presets:Option",
    "method": "genshift.presets:method",
    "backbone": "genshift.presets:backbone",
    "data_set": "genshift.data:register",
    "load_plugin": "genshift.plugins:load_plugin",
    **{
        verb: f"genshift.api:{verb}"
        for verb in ("bundle", "clean", "demo", "distill", "embed", "evaluate", "export", "label")
    },
    **{
        verb: f"genshift.api:{verb}"
        for verb in ("predict", "push", "reconstruct", "sample", "select", "show", "study", "sweep", "train")
    },
}
_PACKAGES = ("data", "presets", "report", "studio")  # report and studio can be called: see there
__all__ = [
    "Model",
    "Option",
    "Paper",
    "Refusal",
    "Run",
    "backbone",
    "bundle",
    "clean",
    "compare",
    "data",
    "data_set",
    "demo",
    "distill",
    "embed",
    "evaluate",
    "export",
    "label",
    "load",
    "load_plugin",
    "ls",
    "method",
    "predict",
    "presets",
    "push",
    "reconstruct",
    "report",
    "sample",
    "select",
    "show",
    "studio",
    "study",
    "sweep",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _PACKAGES:
        return importlib.import_module(f"genshift.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'genshift' has no attribute '{name}'")
    module, _, home = _HOMES[name].partition(":")
    return getattr(importlib.import_module(module), home)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
