"""A study of one's own, read from a TOML file: methods × tasks × seeds × variants, planned and shown as the others.

    name = "mine"
    methods = ["source", "dann"]
    tasks = [["photos", "sketches"], ["mnistm", "svhn"]]   # labelled source, unlabelled target: folders, or sets' names
    images = 60_000                                         # of every run
    seeds = 2
    processes = 1                                           # that share a run's batch, started by torchrun
    options = { size = 64 }                                 # of every run, as `genshift train` takes them
    variants = [{ lr = 1e-3 }, { lr = 1e-4 }]               # each run once with each of these

Folders are looked for beside the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from genshift import presets
from genshift.data.catalog import lookup
from genshift.errors import Refusal, of_os_error
from genshift.presets import Preset
from genshift.presets.methods import row_of
from genshift.studies import Study, varied

Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Options = dict[str, str | int | float]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What the file may say."""

    name: Name
    methods: Annotated[list[str], msgspec.Meta(min_length=1)]
    tasks: Annotated[list[tuple[str, str]], msgspec.Meta(min_length=1)]
    images: Annotated[int, msgspec.Meta(gt=0)]
    seeds: Annotated[int, msgspec.Meta(gt=0)] = 1
    processes: Annotated[int, msgspec.Meta(gt=0)] = 1
    summary: str = ""
    options: Options = {}
    variants: list[Options] = []


@dataclass(frozen=True)
class OwnStudy(Study):
    """A study whose presets were made for it."""

    made: tuple[Preset, ...] = ()
    file: str = ""

    @property
    def argument(self) -> str:
        return self.file

    def presets(self) -> list[Preset]:
        return list(self.made)

    def cpu_images(self, preset: Preset) -> int:
        return preset.images


def read_study(file: Path) -> OwnStudy:
    """The study that a TOML file describes; Refusal with the place of what is wrong in it."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        said = msgspec.convert(content, _File)
    except OSError as error:
        raise of_os_error(error, f"reading {file}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refusal(f"{file} is no TOML ({error}): `genshift study --help` shows one.") from None
    except msgspec.ValidationError as error:
        raise Refusal(f"{file}: {error}.") from None
    made = tuple(_presets(said, file))
    summary = said.summary or f"the study of {file.name}"
    return OwnStudy(said.name, summary, {}, said.seeds, processes=said.processes, made=made, file=str(file.absolute()))


def _presets(said: _File, file: Path) -> Iterator[Preset]:
    """One of each method, task and variant; each once."""
    seen: list[Preset] = []
    for source, target in said.tasks:
        places = [place if lookup(place) is not None else str(file.parent / place) for place in (source, target)]
        for method in said.methods:
            row = row_of(method)  # its refusal names the nearest
            preset = presets.named(row.name, *places).replaced(**said.options, images=said.images)
            for variant in said.variants or [{}]:
                if (one := varied(preset, variant)) not in seen:
                    seen.append(one)
                    yield one
