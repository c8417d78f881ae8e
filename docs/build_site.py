"""Builds the documentation site: `python docs/build_site.py` (extra `docs`) writes build/site/index.html.

The site's pages are the Markdown files of this folder; zensical.toml has their order. Two things are computed and never
written by hand: the reference, from docstrings and from what `--help` prints, and what each method gave, from
docs/results. `assemble` puts all of it into one folder, of which Zensical makes the site; its warnings end the build.
"""

from __future__ import annotations

import html
import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import genshift
from genshift.cli import data as data_commands
from genshift.cli.main import COMMANDS, usage
from genshift.cli.parser import built_by
from genshift.presets import METHODS

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGES, SITE = ROOT / "build" / "docs", ROOT / "build" / "site"
COPIED = ("*.md", "*.png", "*.webp", "*.html", "*.js", "*.css")
VARIED = ("adda-tables", "verdict")  # no comparison of methods: hyper-parameters of a report, evidence of verdicts
SHARE = 100  # characters of a signature on one line


def assemble(out: Path) -> None:
    """Puts every page and picture of the site below `out`, a new folder, with what is computed."""
    for pattern in COPIED:
        for file in sorted(DOCS.rglob(pattern)):
            if file.name != "notes.md":  # of recorded runs: results.md has them
                copy = out / file.relative_to(DOCS)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (out / "changelog.md").write_text(re.sub(r"(?<=\]: )docs/|(?<=\]\()docs/", "", changes), encoding="utf-8")
    (out / "reference").mkdir(exist_ok=True)
    (out / "reference" / "python.md").write_text(python_reference(), encoding="utf-8")
    (out / "reference" / "commands.md").write_text(command_reference(), encoding="utf-8")
    for page in sorted((out / "methods").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r"^<!-- gave: (\S+) -->$", lambda at: gave(at[1]), text, flags=re.M), encoding="utf-8")


# --- what a method gave ---------------------------------------------------------------------------------------------


@cache
def recorded() -> list[tuple[str, dict[str, Any]]]:
    """The rows of `genshift compare` of every study under docs/results, with the study's name."""
    studies = sorted(folder for folder in (DOCS / "results").iterdir() if folder.name not in VARIED)
    return [(study.name, row) for study in studies for row in genshift.compare([study])]


def gave(name: str) -> str:
    """A table of what a method of adaptation, or a preset that draws, gave in docs/results; ValueError for none."""
    rows = [(study, row) for study, row in recorded() if name in (row["role"], row["label"].partition(",")[0])]
    if not rows:
        raise ValueError(f"docs/results has no run of '{name}': record one, or take the line 'gave: {name}' away.")
    return _accuracies(rows) if name in METHODS else _measures(rows)


def _accuracies(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    lines = []
    for study, row in rows:
        _, task, label, ours, published, _, seeds, _, images, minutes = row["text"]
        start = _source_only(study, row)
        lines.append((f"`{study}`", task, label, ours, published, start, seeds.partition(" ")[0], images, minutes))
    head = ("study", "task", "run", "target right, %", "published", "source only", "seeds", "images", "CPU minutes")
    return table(head, lines)


def _source_only(study: str, row: dict[str, Any]) -> str:
    """Accuracy of the study's source-only runs on the task; of several budgets, those of the nearest."""
    same = [
        other for name, other in recorded() if (name, other["task"], other["role"]) == (study, row["task"], "source")
    ]
    nearest = min(same, key=lambda other: abs(other["images"][0] - row["images"][0]), default=None)
    return "–" if nearest is None or row["role"] == "source" else nearest["text"][3]


def _measures(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    lines = []
    for study, row in rows:
        _, _, measure, label, ours, floor, published, _, seeds, n, images, _ = row["text"]
        lines.append((f"`{study}`", label, measure, ours, floor, published, seeds.partition(" ")[0], n, images))
    return table(("study", "run", "measure", "ours", "floor", "published", "seeds", "n", "images"), lines)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, without the columns that say nothing."""
    kept = [place for place in range(len(head)) if any(line[place] != "–" for line in lines)]
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row[place] for place in kept) + " |" for row in rows)


# --- the reference ----------------------------------------------------------------------------------------------------


def python_reference() -> str:
    """A page of all public names: signature and docstring, of a class its public members too."""
    parts = ["# Python", (genshift.__doc__ or "").partition("\n\n")[2]]
    for name in sorted(genshift.__all__, key=str.lower):
        parts += _entry(f"genshift.{name}", getattr(genshift, name), "##")
    return "\n\n".join(parts) + "\n"


def _entry(name: str, thing: Any, level: str) -> Iterator[str]:
    yield f"{level} {name}"
    callable_module = isinstance(thing, ModuleType) and type(thing) is not ModuleType
    if callable_module:
        yield from _described(name, type(thing).__call__)
    elif isinstance(thing, ModuleType):
        yield prose(inspect.getdoc(thing) or "")
        public = {own: getattr(thing, own) for own in dir(thing) if not own.startswith("_")}
        for own, member in public.items():
            if inspect.isfunction(member) and member.__module__.startswith(thing.__name__):
                yield from _entry(f"{name}.{own}", member, f"{level}#")
    else:
        yield from _described(name, thing)
        for own, member in vars(thing).items() if inspect.isclass(thing) else ():
            if not own.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                yield from _entry(f"{name.rpartition('.')[2]}.{own}", member, f"{level}#")


def _described(name: str, thing: Any) -> Iterator[str]:
    if not isinstance(thing, property):
        yield f"```python\n{signature(name, thing)}\n```"
    yield prose(inspect.getdoc(thing) or "")


def signature(name: str, thing: Any) -> str:
    """How it is called, an argument a line where one line is too long."""
    found = inspect.signature(thing)
    own = [argument for argument in found.parameters.values() if argument.name != "self"]
    returns = "" if inspect.isclass(thing) or found.return_annotation is found.empty else f" -> {_kind(found)}"
    whole = f"{name}{found.replace(parameters=own, return_annotation=found.empty)}"
    whole = re.sub(r"'([^']*)'(?=[,)=\s])", r"\1", whole)
    if len(whole + returns) <= SHARE:
        return whole + returns
    stars = ["*"] if any(a.kind is a.KEYWORD_ONLY for a in own) else []
    lines: list[str] = []
    for argument in own:
        if argument.kind is argument.KEYWORD_ONLY and stars:
            lines.append(stars.pop())
        lines.append(re.sub(r": '([^']*)'", r": \1", str(argument)))
    return f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + f"){returns}"


def _kind(found: inspect.Signature) -> str:
    kind = found.return_annotation
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def prose(text: str) -> str:
    """A docstring as Markdown that shows its every sign, but for **bold**, `code` and lists."""
    if "`" in text:
        return _around_code(text)
    return re.sub(r"(?<!\*)\*(?!\*)|[_\[\]]", r"\\\g<0>", html.escape(text, quote=False))


def _around_code(text: str) -> str:
    parts = text.split("`")
    return "`".join(part if place % 2 else prose(part) for place, part in enumerate(parts))


def command_reference() -> str:
    """A page of all commands: what each prints for --help."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    verbs: dict[str, Callable[[Sequence[str]], int]] = {}
    for name, verb in COMMANDS.items():
        if name == "data":
            verbs |= {f"data {own}": partial(_data_command, own) for own in data_commands.COMMANDS}
        else:
            verbs[name] = verb
    parts = ["# Commands", "What `genshift --help` and `genshift COMMAND --help` print.", fenced(usage())]
    for name, verb in verbs.items():
        parts += [f"## genshift {name}", *(fenced(built.format_help()) for built in built_by(verb))]
    return "\n\n".join(parts) + "\n"


def _data_command(name: str, words: Sequence[str]) -> int:
    return data_commands.run([name, *words])


def fenced(text: str) -> str:
    """A block of plain text."""
    return f"```text\n{textwrap.dedent(text).strip()}\n```"


def build() -> None:
    """Writes build/site; ends with Zensical's status where it has anything to warn of."""
    for folder in (PAGES, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    assemble(PAGES)
    zensical = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(zensical, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    print(f"{(SITE / 'index.html').relative_to(ROOT)}: open it in a browser.")


if __name__ == "__main__":
    build()
