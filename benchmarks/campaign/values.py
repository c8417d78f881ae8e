"""Wrong values for every flag and argument of every verb: each ends in one sentence on one line and status 2.

Where a value is truly valid, VALID says why; then status 0 is right too. Every command is whole but for the one value,
on pictures and runs so small that one that is valid soon ends.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import material
from children import Child, Ended
from material import PACK, RECONSTRUCT, SAMPLE, SWEEP, TRAIN

LIMIT = 60.0
TAKEN = "The work would begin here."
PICTURE = "one/train/bar/00.png"
VALUES = (
    "", " ", "nan", "inf", "-inf", "-1", "0", "-0.0", "0.5", "1.5", "2", "1e99", "-1e99", "1e17", "999999999999999999",
    "9" * 6_000, "0x10", "1_0", "１２", "é", "e\u0301", "x" * 5_000, "a\nb", "\x1b[31mred", "\u202eabc", "\udcff",
    "a b", "none", "None", "True", "null", "[]", "{}", "%s", "$HOME", "*", "a,b", ",", "1-2", "-", "--", "--json",
    "auto", ".", "..", "one", "one/train", PICTURE, "missing/path", PICTURE + "/x", "empty", "fifo", "adapt",
    "gan", "packed", "adapt/config.json", "labels.csv", "~nobody-of-this-name/x", "uci", "mnist", "dann",
    "faces-gan", "train", "cuda",
)  # fmt: skip
# What may end with status 0: of verbs and flags (a pattern), which values (a pattern), for this reason.
ANY = r"(?s:.*)"
THERE = r"\.|\.\.|one|one/train|one/train/bar/00\.png|packed|uci"
VALID: tuple[tuple[str, str, str], ...] = (
    (r".* --(out|log|record)", ANY, "a path that can be made"),
    (r"data get --data-root", ANY, "a path that can be made"),
    (r"data get argument", "uci", "a set that comes with scikit-learn"),
    (r"report --title", ANY, "a title is any text"),
    (r".* --[a-z0-9-]+", r"0|-0\.0|0\.5|1\.5|2|1_0|１２|1e17|9{18}", "a number within the bounds"),
    (r".* --(mean|seed)", "-1", "a number without a bound"),
    (r".* --(data|source|target|extra|pictures|reference|photos)", THERE, "pictures that are there"),
    (r"(predict|embed|reconstruct|data check|data pack) argument", THERE, "pictures that are there"),
    (r"show --(data|source|target|extra|features)", ANY, "show reads nothing"),
    (r"(select|ls|compare|report|clean|evaluate|sample|predict|embed|sweep|reconstruct) argument",
     r"adapt|gan|\.|\.\.|empty|one|packed", "a run, or a folder that may hold runs"),
    (r"(show|train .*) argument", r"dann|faces-gan", "a preset, or a method"),
    (r".* --data-root", r"\.|\.\.|one|one/train|empty|adapt|gan|packed", "a folder that is there"),
    (r".* --(device|precision)", "auto", "a choice"),
    (r".* --split", "train", "a choice"),
    (r".* --(weights|label|prior|condition)", "none", "a choice"),
    (r"(show|train .*) --(attribute|features|extra)", "", "its default: none"),
    (r".* --(data|target|pictures)", "gan", "what the run drew lies there"),
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A whole command by its verb, arguments and flags."""

    verb: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()

    def words(self, place: str, value: str, joined: bool) -> list[str]:
        """The command with another value for the flag, or for the argument of the number, `place`."""
        arguments = list(self.arguments)
        given = dict(self.flags)
        if place.isdecimal():
            arguments[int(place)] = value
            others = [word for pair in given.items() for word in pair]
            return [*self.verb, *arguments, *others]
        given.pop(place, None)
        others = [word for pair in given.items() for word in pair]
        return [*self.verb, *arguments, *others, *([f"{place}={value}"] if joined else [place, value])]


def command(words: tuple[str, ...], *more: str, verb: int = 1) -> Command:
    """A command of words: of the verb, then arguments, then flags with a value each."""
    words = (*words, *more)
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    pairs = list(zip(words[first::2], words[first + 1 :: 2], strict=True))
    return Command(words[:verb], words[verb:first], tuple(dict(pairs).items()))


def commands() -> list[Command]:
    """Every verb; train of every family, of two steps."""
    out, sets = ("--out", "new"), ("--source", "one", "--target", "two")
    found = [command(("train", *TRAIN[name], *out), "--images", "8") for name in TRAIN]
    found += [command(("train", "adapt", *sets, *out, "--images", "8", *TRAIN["adapt"][5:]), "--images", "8")]
    found += [command((*SAMPLE[name][:4], *out)) for name in SAMPLE]
    found += [command(("evaluate", name)) for name in TRAIN]
    found += [command(("evaluate", "--pictures", "one", "--reference", "two")), command(SWEEP)]
    found += [command(("show", name)) for name in ("dann", "hw3-vae", "faces-gan")]
    found += [command((verb, "adapt", "two", *out)) for verb in ("predict", "embed")]
    found += [command(("ls", ".")), command(("select", "adapt")), command((*RECONSTRUCT[:3], *out))]
    found += [
        command(("compare", "adapt", "gan")),
        command(("report", "adapt", "gan", *out)),
        command(("clean", "vae")),
    ]
    found += [command(("study", "demo", "--budget", "quick", *out)), command(("demo", *out))]
    found += [command(("completion", "bash")), command(("data", "ls"), verb=2), command(("data", "get", "uci"), verb=2)]
    found += [command(("data", "check", "one", "--out", "new.png"), verb=2), command((*PACK[:3], *out), verb=2)]
    found += [command(("data", "build", "mnistm", "--photos", "one", *out), verb=2)]
    return found


def flags_of(each: Command) -> list[str]:
    """The flags of its verb that take a value (of train those of every preset), one that takes none, and one that is
    not there."""
    from genshift.cli import data, main, parser

    def subcommand(argv: object) -> int:
        return data.run([each.verb[1], "--help"])

    verb: Callable[..., int] = subcommand if each.verb[0] == "data" else main.COMMANDS[each.verb[0]]
    built: argparse.ArgumentParser = parser.built_by(verb)[0]
    takes = [a.option_strings[-1] for a in built._actions if a.option_strings and a.nargs is None]
    plain = [a.option_strings[-1] for a in built._actions if a.option_strings and a.nargs == 0 and a.dest != "help"]
    return [*takes, *plain[:1], "--plugin", "--nosuch"]


def before() -> None:
    """In a child: a study or a demo ends where its first run would begin."""
    from genshift.errors import Refusal
    from genshift.studies import plan, running

    def taken(*arguments: object) -> bool:
        raise Refusal(TAKEN)

    plan._planned = lambda jobs: []  # by steps, which take seconds
    running._Progress = taken  # type: ignore[assignment, misc]


def judged(ended: Ended, place: str, value: str) -> str:
    """What is wrong with an end ('': nothing)."""
    if wrong := ended.wrong():
        return wrong
    if ended.status == 2 and not ended.sentence.endswith(TAKEN):
        return ""
    verb = " ".join(ended.argv[:2] if ended.argv[0] in ("data", "train") else ended.argv[:1])
    flag = f"{verb} {'argument' if place.isdecimal() else place}"
    valid = any(re.fullmatch(flags, flag) and re.fullmatch(values, value) for flags, values, _ in VALID)
    return "" if valid else f"taken as valid: {flag} {value[:60]!r}"


def campaign(work: Path, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Gives `count` wrong values; yields the verb and flag of each, and what is wrong with its end ('': nothing).

    A flag of every verb comes before any comes again.
    """
    origin, here = work / "origin", work / "here"
    material.pictures(origin)
    material.finished(origin)
    (origin / "empty").mkdir()
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(origin, here)
    os.mkfifo(here / "fifo")
    kept = {path.name for path in origin.iterdir()} | {"fifo"}
    chance, given = random.Random(seed), set()
    places = [
        (each, place) for each in commands() for place in [*map(str, range(len(each.arguments))), *flags_of(each)]
    ]
    turn = 0
    while len(given) < count:
        if turn % len(places) == 0:
            chance.shuffle(places)
        each, place = places[turn % len(places)]
        turn += 1
        value, joined = chance.choice(VALUES), chance.random() < 0.5
        if place == "--images" and len(value) == len(str(10**17)):
            continue  # a training that does not end is what was asked for
        words = each.words(place, value, joined)
        if tuple(words) in given:
            continue
        given.add(tuple(words))
        ended = Child(words, here, before).wait(LIMIT)
        wrong = judged(ended, place, value)
        name = " ".join(each.verb)
        yield f"{name} {'argument' if place.isdecimal() else place}; {[w[:60] for w in words]}", wrong
        cleared(origin, here, kept, each, harmed=ended.status == 0)


def cleared(origin: Path, here: Path, kept: set[str], each: Command, harmed: bool) -> None:
    """What the command made goes, and what it can have changed is put back."""
    names = [path.name for path in here.iterdir() if path.name not in kept and not path.name.startswith("child-")]
    changed = (
        [name for name in kept & {*each.arguments, "adapt", "packed"} if (origin / name).exists()] if harmed else []
    )
    material.restored(origin, here, [*names, *changed])
    if not (here / "fifo").is_fifo():
        material.restored(origin, here, ["fifo"])
        os.mkfifo(here / "fifo")
