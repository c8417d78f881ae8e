"""One self-contained page on which a few pictures are labelled by keyboard; it saves a CSV and calls no host."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from genshift.runs.files import as_written, write_text

KEYS = "1234567890" + string.ascii_lowercase  # of classes; Space, Enter, Backspace and - mean something else


@dataclass(frozen=True)
class ShownPicture:
    """A picture of the page: its name, its file (PNG or JPEG), and whether its pixels are to be seen."""

    name: str
    data: bytes
    small: bool

    @property
    def source(self) -> str:
        kind = "png" if self.data.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"


def keys_of(classes: Sequence[str]) -> list[str]:
    """A key for each class: its own name where all are single keys (digits, say), else by place; none where there are
    more classes than keys: then their names are typed."""
    names = [name.lower() for name in classes]
    if all(name in KEYS and len(name) == 1 for name in names) and len(set(names)) == len(names):
        return names
    return list(KEYS[: len(classes)]) if len(classes) <= len(KEYS) else []


def write_labelling_page(
    out: Path, title: str, classes: Sequence[str], pictures: Sequence[ShownPicture], plan: str, file: str, command: str
) -> None:
    """Writes the page whole. plan: the name that each line of the CSV bears; file: the CSV's name; command: what reads
    it. Nothing on the page says what a model makes of a picture."""
    data = {"name": f"{plan} {file}", "file": file, "plan": plan, "keys": keys_of(classes)}
    shown = [{"name": as_written(one.name), "source": one.source, "small": one.small} for one in pictures]
    text = json.dumps({**data, "classes": [as_written(name) for name in classes], "pictures": shown})
    css, js = _asset("label.css"), _asset("label.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(_asset("label.html")).render(
        title=as_written(title),
        command=as_written(command),
        css=Markup(css),
        js=Markup(js),
        css_hash=_hash(css),
        js_hash=_hash(js),
        data=Markup(text.replace("<", "\\u003c")),  # no '<' may end its script element early
    )
    write_text(out, page)


def _hash(text: str) -> Markup:
    """By which a browser knows the one script, and the one style, that may act on the page."""
    return Markup("sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


def _asset(name: str) -> str:
    return files("genshift.evaluation").joinpath(name).read_text(encoding="utf-8")
