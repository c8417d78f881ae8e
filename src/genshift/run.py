"""A run as an object: what `genshift.train` returns. It reads its folder each time it is asked, and shows itself."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from genshift.paths import AnyPath, given_path
from genshift.runs.folder import RunFolder
from genshift.runs.forms import EVALUATION, RESULTS
from genshift.runs.results import Measure, as_frame

if TYPE_CHECKING:  # opening a model imports torch
    from pandas import DataFrame

    from genshift.model import Model

PICTURES = (".png", ".webp")


class Run:
    """A run folder. `finished` says whether it was trained to its end."""

    def __init__(self, path: AnyPath) -> None:
        self.folder = RunFolder(given_path(path))

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def config(self) -> dict[str, Any]:
        """config.json: the complete description."""
        return self.folder.config

    @property
    def finished(self) -> bool:
        """Whether it was trained to the end of its budget."""
        return self.folder.exists() and self.folder.seen >= self.config["images"]

    @property
    def results(self) -> dict[str, Any]:
        """What was measured, by name: value, std, n, protocol, and a floor where there is one; empty before."""
        return self.folder.read_if_there(RESULTS)

    def frame(self) -> DataFrame:
        """`results` as a pandas DataFrame, a line a measure by its name; NaN where a measure has no std or floor.
        Refusal without the extra `pandas`."""
        measures = ((name, Measure.from_json(entry)) for name, entry in self.results.items())
        return as_frame([{"measure": name, **asdict(measure)} for name, measure in measures])

    @property
    def warnings(self) -> list[str]:
        """What its evaluation warns of."""
        return self._evaluation.get("warnings", [])

    @property
    def _evaluation(self) -> dict[str, Any]:
        return self.folder.read_if_there(EVALUATION)

    @property
    def pictures(self) -> dict[str, Image.Image]:
        """The pictures of samples/, by their names."""
        files = sorted((self.path / "samples").glob("*"))
        read = (file for file in files if file.suffix in PICTURES)
        return {file.stem: Image.open(io.BytesIO(file.read_bytes()), formats=("PNG", "WEBP")) for file in read}

    @cached_property
    def model(self) -> Model:
        """Its model, opened once: `predict`, `embed`, `sample`, `reconstruct`."""
        from genshift.model import load

        return load(self.path)

    def page(self, out: AnyPath | None = None) -> Path:
        """Writes its page (PATH/page.html) and returns the file."""
        from genshift.report.page import report

        return report([self.path], self.path / "page.html" if out is None else out)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        if not self.folder.exists():
            return f"<genshift run {self.path}: not begun>"
        preset, seen, total = self.config["preset"], self.folder.seen, self.config["images"]
        lines = [f"<genshift run {self.path}: {preset['name']}, {seen:,} of {total:,} images"]
        lines += [f"  {name} {_number(entry['value'])}" for name, entry in self.results.items()]
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        head, *lines = repr(self)[1:-1].splitlines()
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{_number(entry.value)}</td><td>{_number(entry.std)}</td>"
            f"<td>{entry.n:,}</td><td>{html.escape(entry.protocol)}</td></tr>"
            for name, entry in ((name, Measure.from_json(entry)) for name, entry in self.results.items())
        )
        table = "<tr><th>measure</th><th>value</th><th>std</th><th>n</th><th>protocol</th></tr>" + rows
        notes = "".join(f"<p>warning: {html.escape(warning)}</p>" for warning in self.warnings)
        return (
            f"<p>{html.escape(head)}</p>{notes}" + (f"<table>{table}</table>" if lines else "") + self._first_picture()
        )

    def _first_picture(self) -> str:
        """What a generator drew, as HTML; nothing of a run that draws none, or is not evaluated."""
        shown = self._evaluation.get("pictures", [])
        if not shown:
            return ""
        file = self.path / shown[0]["file"]
        data = base64.b64encode(file.read_bytes()).decode()
        image = f'<img alt="{html.escape(shown[0]["title"])}" src="data:image/{file.suffix[1:]};base64,{data}">'
        return f"<figure>{image}<figcaption>{html.escape(shown[0]['caption'])}</figcaption></figure>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
