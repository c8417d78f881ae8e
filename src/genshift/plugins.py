"""Code from outside the package: methods, data sets and backbones in a user's file, or in an installed distribution.

A file is named by the user each time (`--plugin FILE`, `load_plugin`). An installed distribution names what it adds in
the entry-point groups `genshift.methods`, `genshift.data_sets` and `genshift.backbones`; one is imported when its name
is asked for. A run folder holds names alone and never causes anything else to be imported. Imports no torch.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path

from genshift.errors import Refusal

METHODS, DATA_SETS, BACKBONES = "genshift.methods", "genshift.data_sets", "genshift.backbones"
_loaded: dict[Path, str] = {}


def load_plugin(file: Path | str) -> None:
    """Runs a Python file, once, so that what it registers can be used by name.

    Raises Refusal where it is absent, or what it imports is.
    """
    path = Path(file).expanduser().resolve()
    if path in _loaded:
        return
    if not path.is_file():
        raise Refusal(f"There is no plugin file {file}: name a Python file.")
    name = f"genshift_plugin_{len(_loaded)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Refusal(f"{file} is no Python file: a plugin's name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[name]
        raise Refusal(f"The plugin {file} cannot be imported: {error}.") from error
    _loaded[path] = str(file)


def loaded_files() -> list[str]:
    """The files that were loaded, as they were named: another process must load them too."""
    return list(_loaded.values())


def load_installed(group: str, name: str | None = None) -> None:
    """Imports what installed distributions add to a group under that name, or under any."""
    for entry in entry_points(group=group) if name is None else entry_points(group=group, name=name):
        entry.load()
