"""The command line's parser and the flags that commands share. It imports no torch."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from genshift.data.dataset import Background, Fit
from genshift.errors import Refusal, nearest, unknown
from genshift.paths import given_path
from genshift.plugins import load_plugin
from genshift.presets import Sampling

LARGEST = 10**18  # what a number given to a flag stays below; it shuts out inf too
MOST = {"threads": 4096, "jobs": 4096, "processes": 4096, "seeds": 10_000, "minutes": 10_000_000, "count": 10_000_000}


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in one sentence, and takes no flag for a longer one."""

    def __init__(self, prog: str, description: str, **options: Any) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, **options)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        # argparse's message as a sentence.
        message = re.sub(r"^argument (?:-\w/)?(\S+): expected one argument", r"\1 needs a value", message)
        message = re.sub(r"^argument (\S+): ", r"\1: ", message)
        message = message[0].upper() + message[1:].rstrip(".") + "."
        raise Refusal(f"{message} `{self.prog} --help` lists what it takes.")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parses, and names the nearest flag for one that does not exist."""
        known, extra = self.parse_known_args(arguments)
        if not extra:
            return known
        if extra[0].startswith("-"):
            flag = extra[0].split("=", 1)[0]
            raise unknown("flag", flag, self._option_string_actions, f"`{self.prog} --help` lists them.")
        raise Refusal(f"'{extra[0]}' is one argument too many: `{self.prog} --help` shows the form.")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:  # argparse would make it a list
            raise Refusal(f"{action.option_strings[-1]} needs a value, not '--': `{self.prog} --help` says which.")
        return super()._get_values(action, arg_strings)

    def print_help(self, file: Any = None) -> None:
        """Prints the help; or, asked by `built_by`, hands itself over instead."""
        if _building is None:
            super().print_help(file)
        else:
            _building.append(self)


_building: list[Parser] | None = None  # parsers that ask for help would print, while `built_by` collects them


def built_by(verb: Callable[[Sequence[str]], int], *words: str) -> list[Parser]:
    """The parser that a command builds, of these words where they matter (a preset's options), with all its flags; none
    of one that has commands of its own."""
    global _building
    _building = []
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            verb([*words, "--help"])
        return _building
    finally:
        _building = None


def with_plugins(words: Sequence[str]) -> list[str]:
    """The words without `--plugin FILE`, wherever it stands; the files are loaded."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--plugin", action="append", default=[])
    try:
        given, others = first.parse_known_args(words)
        if [] in given.plugin:  # what argparse makes of --plugin=--
            raise argparse.ArgumentError(None, "no value")
    except argparse.ArgumentError:
        raise Refusal("--plugin needs a value: a Python file.") from None
    for file in given.plugin:
        load_plugin(file)
    return others


def _path(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("a path is expected, not nothing")
    return given_path(text)


def name_or_path(text: str) -> str:
    """A set's name, or a path, which stays as it was written."""
    _path(text)
    return text


def number(kind: type, flag: str) -> Callable[[str], Any]:
    """A reader of numbers that refuses in a sentence; whole numbers may hold underscores."""
    expected = "a whole number" if kind is int else "a number"

    def read(text: str) -> Any:
        try:
            number = kind(text.replace("_", "")) if kind is int else kind(text)
        except ValueError:  # a whole number of more than 4,300 digits is one too
            raise Refusal(f"{flag} takes {expected}, not '{_short(text)}'.") from None
        if abs(number) >= LARGEST or number != number:
            raise Refusal(f"{flag} takes {expected} below 10^18, not '{_short(text)}'.")
        return number

    return read


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def choice(valid: tuple[str, ...], flag: str) -> Callable[[str], str]:
    """A reader of one of some words, which names the nearest for another."""

    def read(text: str) -> str:
        if text not in valid:
            close = nearest(text, valid)
            hint = f"did you mean '{close}'?" if close else f"expected one of {', '.join(valid)}."
            raise Refusal(f"{flag} does not take '{text}': {hint}")
        return text

    return read


def several(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A reader of what `read` reads, parted by commas."""

    def read_all(text: str) -> tuple[Any, ...]:
        return tuple(read(part) for part in text.split(","))

    return read_all


def interval(flag: str) -> Callable[[str], tuple[float, float]]:
    """A reader of two numbers with a dash between them."""

    def read(text: str) -> tuple[float, float]:
        low, dash, high = text.partition("-")
        if not (low and dash and high):
            raise Refusal(f"{flag} takes intervals such as 0.1-0.8, not '{_short(text)}'.")
        return number(float, flag)(low), number(float, flag)(high)

    return read


def add_options(
    parser: argparse._ActionsContainer, classes: Sequence[type], typed: bool = True, only: Container[str] | None = None
) -> None:
    """The flags of the options of these dataclasses, or of `only` those named, each once; as plain text where not
    `typed`."""
    added: set[str] = set()
    for owner in classes:
        kinds = get_type_hints(owner)
        for field in fields(owner):
            wanted = only is None or field.name in only
            if wanted and "option" in field.metadata and field.name not in added:
                _add_option(parser, field.name, kinds[field.name] if typed else str, field.metadata["option"].help)
                added.add(field.name)


def _add_option(parser: argparse._ActionsContainer, name: str, kind: Any, help: str) -> None:
    """The flag of an option, of its type."""
    flag = "--" + name.replace("_", "-")
    if get_origin(kind) is Literal:
        valid = get_args(kind)
        reader, text = choice(valid, flag), f"{help}: {', '.join(valid)}"
    else:
        reader, text = (str if kind is str else number(kind, flag)), help
    parser.add_argument(flag, type=reader, metavar=name.upper(), help=text.replace("%", "%%"))


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """The flags of how a diffusion model draws."""
    title = "how a diffusion model draws (default: what `genshift sweep` chose, else the preset's own)"
    add_options(parser.add_argument_group(title), [Sampling])


def given_sampling(args: argparse.Namespace) -> dict[str, Any]:
    """The flags of `add_sampling` that were given."""
    return {f.name: getattr(args, f.name) for f in fields(Sampling) if getattr(args, f.name) is not None}


def add_int(parser: argparse.ArgumentParser, flag: str, help: str, default: int | None = None) -> None:
    """A flag that takes a whole number."""
    parser.add_argument(flag, type=number(int, flag), default=default, metavar="N", help=help)


def add_places(parser: argparse.ArgumentParser, *options: str) -> None:
    """Where the sets that a run learns from lie, if not where it was trained from them."""
    group = parser.add_argument_group("where the run's own pictures lie now, if they were moved")
    for option in options:
        flag = f"--{option.replace('_', '-')}"
        group.add_argument(flag, metavar="DIR", help=f"what stood at the run's {flag}")


def given_places(args: argparse.Namespace) -> dict[str, str]:
    """Those that were given, by the preset's options."""
    places = {name: getattr(args, name, None) for name in ("data", "source", "target", "held_out")}
    return {name: place for name, place in places.items() if place is not None}


def add_machine(parser: argparse.ArgumentParser) -> None:
    """--device and --threads."""
    devices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", type=choice(devices, "--device"), default="auto", help=", ".join(devices))
    add_int(parser, "--threads", "CPU threads (PyTorch's choice)")


def add_training(parser: argparse.ArgumentParser) -> None:
    """What every training takes: budget, seed, machine, what is kept and told, -n, --data-root and --json."""
    minutes = "budget in minutes, instead of --images"
    parser.add_argument("--minutes", type=number(float, "--minutes"), metavar="M", help=minutes)
    add_int(parser, "--seed", "seed of everything random (0)", 0)
    add_machine(parser)
    add_int(parser, "--keep", "checkpoints kept beside the best (2)", 2)
    parser.add_argument("--log", type=Path, metavar="FILE", help="add every line of the training to this file too")
    parser.add_argument("--no-evaluate", action="store_true", help="train, and measure nothing at the end")
    add_no_pictures(parser)
    dry = "print what would be trained and what it would cost, and leave"
    parser.add_argument("-n", "--dry-run", action="store_true", help=dry)
    add_data_root(parser)
    add_json(parser)


def add_decoding(parser: argparse.ArgumentParser, otherwise: str, fit: bool = True) -> None:
    """--fit, --background, --depth and --encoding; `otherwise` says what stands where they are not given."""
    words = {"--background": (get_args(Background), "what lies under transparent parts")}
    if fit:
        words["--fit"] = (get_args(Fit), "of rectangular pictures the centred square, or all on a black square")
    for flag, (valid, help) in words.items():
        parser.add_argument(flag, type=choice(valid, flag), help=f"{help}: {', '.join(valid)} ({otherwise})")
    add_int(parser, "--depth", f"bits that 16-bit pictures hold ({otherwise})")
    parser.add_argument("--encoding", metavar="NAME", help=f"text encoding of a CSV with labels ({otherwise})")


def given_decoding(args: argparse.Namespace) -> dict[str, Any]:
    """The flags of `add_decoding` that were given."""
    given = {name: getattr(args, name, None) for name in ("fit", "background", "depth", "encoding")}
    return {name: value for name, value in given.items() if value is not None}


def add_out(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """--out, which must be given."""
    parser.add_argument("--out", type=Path, required=True, metavar=metavar, help=help)


def add_no_pictures(parser: argparse.ArgumentParser) -> None:
    """--no-pictures."""
    parser.add_argument(
        "--no-pictures", action="store_true", help="leave no real picture in the run: of private data, say"
    )


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """--data-root."""
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="where data lies; before $GENSHIFT_DATA and the user's cache",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def existing_root(args: argparse.Namespace) -> Path | None:
    """The folder that --data-root names, where it is given; Refusal where it is none."""
    if args.data_root is not None and not args.data_root.is_dir():
        raise Refusal(f"--data-root {args.data_root} is no folder: name the folder that holds mnist/, usps/ and so on.")
    return args.data_root


def check_weights(args: argparse.Namespace) -> None:
    """Refuses --weights where it names no file."""
    if args.weights is not None and not args.weights.is_file():
        raise Refusal(f"There is no file {args.weights}: --weights names Inception's weights.")


def check_positive(args: argparse.Namespace, *names: str) -> None:
    """Refuses numbers that are not above 0, or above what can be meant."""
    for name in names:
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise Refusal(f"--{name} must be above 0, not {value:g}.")
        if value is not None and value > MOST.get(name, LARGEST):
            raise Refusal(f"--{name} must be at most {MOST[name]:,}, not {value:,}.")
