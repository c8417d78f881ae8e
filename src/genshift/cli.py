"""The command line. It imports no torch until a command needs it, so that help and refusals come at once."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import genshift
from genshift import presets
from genshift.errors import Refusal, nearest, of_os_error, unknown
from genshift.presets import FAMILIES, PRESETS, Preset, option_fields

INTERRUPTED = 130
LARGEST = 10**18  # what a number given to a flag stays below; it shuts out inf too
MOST = {"threads": 4096, "jobs": 4096, "seeds": 10_000, "minutes": 10_000_000}


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{_sentence(message)} `{self.prog} --help` lists what it takes.")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parses, and names the nearest flag for one that does not exist."""
        known, extra = self.parse_known_args(arguments)
        if not extra:
            return known
        if extra[0].startswith("-"):
            flag = extra[0].split("=", 1)[0]
            raise unknown("flag", flag, self._option_string_actions, f"`{self.prog} --help` lists them.")
        raise Refusal(f"'{extra[0]}' is one argument too many: `{self.prog} --help` shows the form.")


def _sentence(message: str) -> str:
    """argparse's message as a sentence."""
    message = re.sub(r"^argument (?:-\w/)?(\S+): expected one argument", r"\1 needs a value", message)
    message = re.sub(r"^argument (\S+): ", r"\1: ", message)
    return message[0].upper() + message[1:].rstrip(".") + "."


# --- values of flags ------------------------------------------------------------------------------------------------


def _number(kind: type, flag: str) -> Callable[[str], Any]:
    wanted = "a whole number" if kind is int else "a number"

    def read(text: str) -> Any:
        try:
            number = kind(text.replace("_", "")) if kind is int else kind(text)
        except ValueError:  # a whole number of more than 4,300 digits is one too
            raise Refusal(f"{flag} takes {wanted}, not '{_short(text)}'.") from None
        if abs(number) >= LARGEST or number != number:
            raise Refusal(f"{flag} takes {wanted} below 10^18, not '{_short(text)}'.")
        return number

    return read


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _choice(valid: tuple[str, ...], flag: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in valid:
            close = nearest(text, valid)
            hint = f"did you mean '{close}'?" if close else f"expected one of {', '.join(valid)}."
            raise Refusal(f"{flag} does not take '{text}': {hint}")
        return text

    return read


def _add_field(parser: argparse.ArgumentParser, name: str, kind: Any, help: str) -> None:
    flag = "--" + name.replace("_", "-")
    if get_origin(kind) is Literal:
        valid = get_args(kind)
        reader, text = _choice(valid, flag), f"{help}: {', '.join(valid)}"
    else:
        reader, text = (str if kind is str else _number(kind, flag)), help
    parser.add_argument(flag, type=reader, metavar=name.upper(), help=text.replace("%", "%%"))


def _int(parser: argparse.ArgumentParser, flag: str, help: str, default: int | None = None) -> None:
    parser.add_argument(flag, type=_number(int, flag), default=default, metavar="N", help=help)


def _data_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="where data lies; before $GENSHIFT_DATA and the user's cache",
    )


def _json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _existing_root(args: argparse.Namespace) -> Path | None:
    if args.data_root is not None and not args.data_root.is_dir():
        raise Refusal(f"--data-root {args.data_root} is no folder: name the folder that holds mnist/, usps/ and so on.")
    return args.data_root


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


# --- commands -------------------------------------------------------------------------------------------------------


def ls(argv: Sequence[str]) -> int:
    """presets, data sets, studies, runs"""
    parser = Parser("genshift ls", description="Lists presets, data sets, studies, and the runs below a folder.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs"), help="where runs are looked for (runs)")
    _data_root(parser)
    _json_flag(parser)
    args = parser.parse(argv)
    from genshift import listing as listed

    listing = listed.ls(args.folder, _existing_root(args))
    if args.json:
        _print_json(listing)
    else:
        print(listed.as_text(listing))
    return 0


def show(argv: Sequence[str]) -> int:
    """what a preset is: options and where they come from, networks, cost"""
    parser = Parser("genshift show", description="Prints a preset: options, origins, networks, parameters, GFLOP.")
    parser.add_argument("preset")
    _preset_flags(parser, argv)
    _json_flag(parser)
    args = parser.parse(argv)
    preset = _preset(args)
    from genshift import api
    from genshift.listing import show_text

    shown = api.show(preset)
    if args.json:
        _print_json(shown)
    else:
        print(show_text(shown))
    return 0


def _preset_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """The options of the preset that `argv` names, or of all families where it names none (for --help)."""
    named = [PRESETS[word] for word in argv if word in PRESETS]
    families: list[type[Preset]] = [type(named[0])] if named else list(FAMILIES.values())
    group = parser.add_argument_group("options of the preset (default: the preset's own, see `genshift show PRESET`)")
    added: set[str] = set()
    for family in families:
        kinds = get_type_hints(family)
        for field in option_fields(family):
            if field.name not in added:
                _add_field(group, field.name, kinds[field.name], field.metadata["help"])  # type: ignore[arg-type]
                added.add(field.name)


def _preset(args: argparse.Namespace) -> Preset:
    """The named preset with the flags that were given."""
    preset = presets.get(args.preset)
    given = {f.name: getattr(args, f.name) for f in option_fields(preset) if getattr(args, f.name) is not None}
    return preset.replaced(**given) if given else preset


def train(argv: Sequence[str]) -> int:
    """train a preset into a run folder; the same command continues"""
    parser = Parser("genshift train", description="Trains a preset into a run folder. The same command continues it.")
    parser.add_argument("preset")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--minutes",
        type=_number(float, "--minutes"),
        metavar="M",
        help="budget in minutes, instead of --images",
    )
    _int(parser, "--seed", "seed of everything random (0)", 0)
    parser.add_argument(
        "--device",
        type=_choice(("auto", "cpu", "cuda", "mps"), "--device"),
        default="auto",
        help="auto, cpu, cuda or mps",
    )
    _int(parser, "--threads", "CPU threads (PyTorch's choice)")
    _int(parser, "--keep", "checkpoints kept beside the best (2)", 2)
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard events too")
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    parser.add_argument("-n", "--dry-run", action="store_true", help="print what would be trained and leave")
    _data_root(parser)
    _preset_flags(parser, argv)
    args = parser.parse(argv)
    preset = _preset(args)
    _check_positive(args, "threads", "keep", "minutes")
    if args.images is not None and args.minutes is not None:
        raise Refusal("--images and --minutes both name the budget: give one of them.")
    if args.dry_run:
        _print_json({"preset": preset.name, **preset.options()})
        return 0
    from genshift import api

    finished = api.train(
        preset,
        args.out,
        data_root=_existing_root(args),
        seed=args.seed,
        minutes=args.minutes,
        device=args.device,
        threads=args.threads,
        keep=args.keep,
        tensorboard=args.tensorboard,
        skip_broken=args.skip_broken,
        command=shlex.join(["genshift", "train", *argv]),
    )
    return 0 if finished else INTERRUPTED


def _check_positive(args: argparse.Namespace, *names: str) -> None:
    for name in names:
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise Refusal(f"--{name} must be above 0, not {value:g}.")
        if value is not None and value > MOST.get(name, LARGEST):
            raise Refusal(f"--{name} must be at most {MOST[name]:,}, not {value:,}.")


def predict(argv: Sequence[str]) -> int:
    """class and confidence of pictures, as CSV"""
    args = _run_and_images("predict", "Predicts the class of each picture.", "labels.csv", argv)
    from genshift import api

    rows = api.predict(args.run, args.images, args.out, **_reading(args))
    print(f"{args.out}: {len(rows):,} predictions.")
    return 0


def embed(argv: Sequence[str]) -> int:
    """latent features of pictures, as .npz"""
    args = _run_and_images("embed", "Writes the latent features of pictures.", "features.npz", argv)
    from genshift import api

    features = api.embed(args.run, args.images, args.out, **_reading(args))
    print(f"{args.out}: features {features.shape[0]:,} × {features.shape[1]}.")
    return 0


def _run_and_images(verb: str, description: str, out: str, argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(f"genshift {verb}", description=description)
    parser.add_argument("run", type=Path)
    parser.add_argument("images", help="a folder of pictures, or a data set's name")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=out)
    parser.add_argument("--split", default="train", help="part of the set: train or test (train)")
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    _data_root(parser)
    return parser.parse(argv)


def _reading(args: argparse.Namespace) -> dict[str, Any]:
    return {"split": args.split, "data_root": _existing_root(args), "skip_broken": args.skip_broken}


def evaluate(argv: Sequence[str]) -> int:
    """accuracy, confusion and t-SNE of a run"""
    parser = Parser("genshift evaluate", description="Evaluates a run on its test splits.")
    parser.add_argument("run", type=Path)
    _data_root(parser)
    _json_flag(parser)
    args = parser.parse(argv)
    root = _existing_root(args)
    from genshift import api
    from genshift.engine.run import RunFolder

    results = api.evaluate(args.run, data_root=root)
    if args.json:
        _print_json(results)
        return 0
    for name, result in results.items():
        spread = "" if result["std"] is None else f" ± {result['std']:.4f}"
        print(f"{name:<30} {result['value']:.4f}{spread}  (n = {result['n']:,}; {result['protocol']})")
    for warning in RunFolder(args.run).read("evaluation.json")["warnings"]:
        print(f"warning: {warning}")
    return 0


def compare(argv: Sequence[str]) -> int:
    """one table over runs"""
    parser = Parser("genshift compare", description="Prints one table over runs, or folders of runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    _json_flag(parser)
    args = parser.parse(argv)
    from genshift.report.console import format_table
    from genshift.runs import compare as rows_of

    rows = rows_of(args.runs)
    if args.json:
        _print_json(rows)
    else:
        print(format_table(rows))
    return 0


def study(argv: Sequence[str]) -> int:
    """train what is missing of a study, evaluate, report"""
    parser = Parser("genshift study", description="Trains what is missing of a study, evaluates it, writes page.html.")
    parser.add_argument("name", help="hw2, hw3 or demo")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the study's runs")
    parser.add_argument(
        "--budget",
        type=_choice(("quick", "cpu", "full"), "--budget"),
        default="cpu",
        help="quick, cpu (a run takes at most 5 CPU minutes) or full (cpu)",
    )
    _int(parser, "--seeds", "seeds of each preset (the study's own: 3)")
    _int(parser, "--jobs", "runs at a time (1)", 1)
    _int(parser, "--threads", "CPU threads of a run (PyTorch's choice)")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="also keep config.json and results.json of each run here"
    )
    _data_root(parser)
    args = parser.parse(argv)
    _check_positive(args, "seeds", "jobs", "threads")
    from genshift import studies
    from genshift.studies.running import run_study

    page = run_study(
        studies.get(args.name),
        args.budget,
        args.out,
        args.seeds,
        _existing_root(args),
        args.jobs,
        args.threads,
        args.record,
    )
    return _say_page(page, args.out)


def _say_page(page: Path | None, out: Path) -> int:
    if page is None:
        return INTERRUPTED
    from genshift.report.console import format_table
    from genshift.runs import compare as rows_of

    print(format_table(rows_of([out])))
    print(f"\nThe page: {page}")
    return 0


def report(argv: Sequence[str]) -> int:
    """write the page of some runs"""
    parser = Parser("genshift report", description="Writes one self-contained HTML page of runs.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders, or folders of runs")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="page.html; or results.md, from one folder of <study>/<run>/ with recorded results",
    )
    parser.add_argument("--title", help="the page's title")
    args = parser.parse(argv)
    from genshift import runs

    print(runs.report(args.folders, args.out, args.title))
    return 0


def demo(argv: Sequence[str]) -> int:
    """a whole study in about two minutes on embedded data, no download"""
    parser = Parser(
        "genshift demo", description="Source-only, DANN and trained-on-target on embedded digits, and a page."
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="folder (runs/demo)")
    _int(parser, "--seeds", "seeds of each role (1)", 1)
    args = parser.parse(argv)
    _check_positive(args, "seeds")
    from genshift import api

    return _say_page(api.demo(args.out, args.seeds), args.out)


def data(argv: Sequence[str]) -> int:
    """ls, get, check, build, pack: data sets"""
    from genshift.data_commands import run

    return run(argv, Parser)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    command.__name__: command
    for command in (ls, show, train, predict, embed, evaluate, compare, study, report, data, demo)
}


def usage() -> str:
    """The text of `genshift --help`."""
    lines = [f"genshift {genshift.__version__}: generative image models and domain adaptation.", ""]
    lines += ["usage: genshift COMMAND …", ""]
    lines += [f"  {name:<10} {command.__doc__}" for name, command in COMMANDS.items()]
    lines += ["", "  --version  versions and hardware; with torch they take a second", "  --help     this"]
    lines += ["", "`genshift COMMAND --help` says what each takes. Start with `genshift demo`."]
    return "\n".join(lines)


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        from genshift.device import environment

        for name, value in environment().items():
            print(f"{name:<9} {value}")
        return 0
    if argv[0] not in COMMANDS:
        raise unknown("command", argv[0], COMMANDS, "`genshift --help` lists them.")
    return COMMANDS[argv[0]](argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0, 2 for wrong input, 130 where it was interrupted."""
    try:
        status = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except Refusal as refusal:
        return _refuse(str(refusal))
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _refuse(str(of_os_error(error, f"using {error.filename}" if error.filename else "reading or writing")))
    except KeyboardInterrupt:
        print("genshift: interrupted.", file=sys.stderr)
        return INTERRUPTED


def _refuse(sentence: str) -> int:
    """Prints why nothing came of the command; of torchrun's processes, the first one does."""
    if os.environ.get("RANK", "0") == "0":
        print(f"genshift: {sentence}", file=sys.stderr)
    return 2


def _drop_output() -> None:
    """Lets what Python still holds for a closed pipe or a full disk go nowhere, or it would complain at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
