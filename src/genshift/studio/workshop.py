"""The runs that a studio was given, each opened once; nothing else on the machine is reached through it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from genshift.data.imageset import ImageSet
from genshift.data.manifest import Memory
from genshift.errors import Refusal, of_os_error, unknown
from genshift.metrics.embedding import fixed_sample
from genshift.model import Model
from genshift.presets import Preset
from genshift.runs.find import runs_below, unadapted
from genshift.runs.folder import RunFolder
from genshift.runs.manifest import placed, remembered
from genshift.runs.trained_run import open_run
from genshift.training.training_data import TrainingData, open_training_data

KEPT = 4  # models that stay open
MOST = 5_000  # training pictures that are looked at: bounds memory and the time that it takes

T = TypeVar("T")


@dataclass
class Opened:
    """A run that is open: its model, and what was made of its data once. `stamp` is of the files it was read from."""

    model: Model
    stamp: object
    data_root: Path | None
    _made: dict[str, Any] = field(default_factory=dict)
    _making: threading.RLock = field(default_factory=threading.RLock)

    @cached_property
    def preset(self) -> Preset:
        """The run's preset, its sets where the run read them."""
        return placed(self.model.run.folder, self.model.run.preset)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returns, made at the first call for this name, by one thread."""
        with self._making:
            if name not in self._made:
                self._made[name] = make()
            made: T = self._made[name]
            return made

    @property
    def data(self) -> TrainingData:
        """What the run learnt from, as it remembers it; Refusal where it is not there."""
        folder = self.model.run.folder

        def read() -> TrainingData:
            skip_broken = bool(folder.config.get("skip_broken"))
            return open_training_data(self.preset, self.data_root, skip_broken, Memory(remembered(folder)))

        return self.once("data", read)

    @property
    def training_pictures(self) -> ImageSet:
        """At most MOST of the labelled set's pictures, always the same, without those that were held out."""

        def some() -> ImageSet:
            part = next(iter(self.data.parts.values()))
            trained = part.images if part.rows is None else part.images.take(part.rows)
            rows = fixed_sample(len(trained), MOST, seed=0)
            return trained if len(rows) == len(trained) else trained.take(torch.from_numpy(rows))

        return self.once("training pictures", some)


class Workshop:
    """The runs among and below `places`, by name. `computing` is held by whoever computes with a network: two at once
    would only slow each other."""

    def __init__(
        self, places: Sequence[Path], data_root: Path | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        self.places, self.data_root, self.device, self.threads = places, data_root, device, threads
        self.computing = threading.Lock()
        self._opened: dict[Path, Opened] = {}
        self._opening = threading.Lock()

    def runs(self) -> dict[str, Path]:
        """The run folders that are there now, by their names: relative to the place where that holds several."""
        found: dict[str, Path] = {}
        for place in self.places:
            for path in runs_below(place):
                name = path.resolve().name if path == place else path.relative_to(place).as_posix()
                while name in found:  # two places with runs of one name
                    name += "'"
                found[name] = path
        return found

    def path(self, name: str) -> Path:
        """The folder of the run of that name; Refusal where there is none."""
        runs = self.runs()
        if name not in runs:
            if not runs:
                raise Refusal(f"The run '{name}' is gone, and no other is there: start the studio with one that is.")
            raise unknown("run", name, runs)
        return runs[name]

    def open(self, name: str) -> Opened:
        """The run, opened at its present checkpoint; Refusal where that cannot be."""
        return self.open_folder(self.path(name))

    def open_folder(self, path: Path) -> Opened:
        """As `open`, of a run folder: of a run that was given, or of the source-only run beside one."""
        with self._opening:
            stamp = _stamp(path)
            known = self._opened.pop(path, None)
            if known is None or known.stamp != stamp:
                run = open_run(path, on=self.device, threads=self.threads)
                known = Opened(Model(run), stamp, self.data_root)
            self._opened[path] = known  # the last used stands last
            for other in list(self._opened)[:-KEPT]:
                del self._opened[other]
            return known

    def source_only(self, path: Path) -> Iterable[Path]:
        """The folders of the source-only runs of the same task and seed beside an adapted one."""
        own = RunFolder(path)
        return [other.path for other in unadapted(own) if other.path.resolve() != path.resolve()]


def _stamp(path: Path) -> object:
    """What changes when another checkpoint stands for the run."""
    try:
        files = [*(path / "checkpoints").iterdir(), *path.glob("selection.json")]
        return sorted((file.name, file.stat().st_mtime_ns) for file in files)
    except FileNotFoundError as error:
        _ = RunFolder(path).config  # its refusal, where that is what is wrong
        raise of_os_error(error, f"reading {path / 'checkpoints'}") from error
