"""genshift: a laboratory for generative image models and unsupervised domain adaptation.

The verbs of the command line are functions here: `genshift.train(...)`, `genshift.evaluate(...)` and so on. They are
imported when first used, so that `import genshift` needs no torch.
"""

from __future__ import annotations

__version__ = "0.1.0"

_VERBS = ("compare", "demo", "embed", "evaluate", "predict", "report", "show", "study", "train")


def __getattr__(name: str) -> object:
    if name not in _VERBS:
        raise AttributeError(f"module 'genshift' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module("genshift.api"), name)
