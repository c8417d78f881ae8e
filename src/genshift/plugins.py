"""Code from outside the package: methods, data sets and backbones in a user's file, or in an installed distribution.

A file is named by the user each time (`--plugin FILE`, `load_plugin`). An installed distribution names what it adds in
the entry-point groups `genshift.methods`, `genshift.data_sets` and `genshift.backbones`; one is imported when its name
is asked for. A run folder holds names alone and never causes anything else to be imported. Imports no torch.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genshift.errors import Refusal
from genshift.paths import given_path

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

METHODS, DATA_SETS, BACKBONES = "genshift.methods", "genshift.data_sets", "genshift.backbones"


class _Loaded(NamedTuple):
    named: str  # as the user did
    changed: int  # when the file was, in nanoseconds


_loaded: dict[Path, _Loaded] = {}


def load_plugin(file: Path | str) -> None:
    """Runs a Python file, once, so that what it registers can be used by name.

    Raises Refusal where it is absent, what it imports is, or it was changed after it was loaded.
    """
    path = given_path(file).resolve()
    if not path.is_file():
        raise Refusal(f"There is no plugin file {file}: name a Python file.")
    changed = path.stat().st_mtime_ns
    if path in _loaded:
        if _loaded[path].changed != changed:
            raise Refusal(f"The plugin {file} was changed after it was loaded: start Python anew to load it again.")
        return
    name = f"genshift_plugin_{len(_loaded)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Refusal(f"{file} is no Python file: a plugin's name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise Refusal(f"The plugin {file} cannot be imported: {error}.") from error
    _loaded[path] = _Loaded(str(file), changed)


def loaded_files() -> list[str]:
    """The files that were loaded, as they were named: a command that is to be run again names them too."""
    return [loaded.named for loaded in _loaded.values()]


def installed_names(group: str) -> list[str]:
    """What installed distributions add to a group; nothing is imported for it."""
    return [entry.name for entry in _entries(group)]


def load_installed(group: str, name: str | None = None) -> None:
    """Imports what installed distributions add to a group under that name, or under any.

    Raises Refusal where it cannot be imported.
    """
    for entry in _entries(group):
        if name not in (None, entry.name):
            continue
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            raise Refusal(
                f"The installed plugin '{entry.name}' ({entry.value}) cannot be imported: {error}; mend or uninstall "
                "it."
            ) from error


def _entries(group: str) -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # a third of the time that `genshift --help` would take

    return entry_points(group=group)


def is_same_definition(one: Any, other: Any) -> bool:
    """Whether a class or function is another one defined anew, as a notebook's cell does that is run again."""
    return callable(one) and callable(other) and _place(one) == _place(other)


def _place(definition: Any) -> tuple[str, str]:
    return definition.__module__, definition.__qualname__


class PluginsOfThisProcess:
    """The files that are loaded here; a process that unpickles this loads them, before what was pickled after it."""

    def __reduce__(self) -> tuple[Callable[[list[Path]], object], tuple[list[Path]]]:
        return _load_all, (list(_loaded),)


def _load_all(files: list[Path]) -> None:
    for file in files:
        load_plugin(file)
