"""The command line. It imports no torch until a command needs it, so that help and refusals come at once."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import genshift
from genshift import presets
from genshift.cli.drawing import sample, sweep
from genshift.cli.endings import after_training, leads, print_json, print_next, print_next_training, say
from genshift.cli.exports import bundle, export, push
from genshift.cli.models import embed, evaluate, label, predict, reconstruct, select
from genshift.cli.parser import (
    Parser,
    add_data_root,
    add_int,
    add_json,
    add_machine,
    built_by,
    check_positive,
    choice,
    existing_root,
    with_plugins,
)
from genshift.cli.studies import compare, demo, report, study
from genshift.cli.training import INTERRUPTED, distill, train, with_preset
from genshift.errors import PeerEnded, Refusal, of_exhaustion, of_os_error, unknown
from genshift.presets import METHODS, PRESETS
from genshift.runs.folder import RunFolder

# beside those that are read as paths: they may be sets' names
PATHS = ("images", "source", "target", "extra", "data", "pictures", "reference")

# --- commands -------------------------------------------------------------------------------------------------------


def ls(argv: Sequence[str]) -> int:
    """presets, data sets, studies, runs"""
    parser = Parser("genshift ls", description="Lists presets, data sets, studies, and the runs below a folder.")
    parser.add_argument("folder", nargs="?", type=Path, help="where runs are looked for (runs)")
    add_data_root(parser)
    add_json(parser)
    args = parser.parse(argv)
    from genshift.cli import listing as listed

    listing = listed.ls(args.folder, existing_root(args))
    if args.json:
        print_json(listing)
    else:
        print(listed.as_text(listing))
        print_next("show", "adapt")
    return 0


def show(argv: Sequence[str]) -> int:
    """what a preset is: options and where they come from, networks, cost"""
    parser = Parser("genshift show", description="Prints a preset: options, origins, networks, parameters, GFLOP.")
    parser.add_argument("preset", help="a preset's name, or a method's")
    add_json(parser)
    args, preset = with_preset(parser, argv, presets.benchmark.OWN)
    from genshift import api
    from genshift.cli.listing import show_text

    shown = api.show(preset)
    if args.json:
        print_json(shown)
    else:
        print(show_text(shown))
        print_next_training(preset)
    return 0


def studio(argv: Sequence[str]) -> int:
    """a page in the browser to play with a run, or with a folder of them"""
    parser = Parser(
        "genshift studio",
        description="Serves a page of trained runs on this machine alone, until Ctrl-C: pictures drawn as one watches, "
        "sliders in latent space, own pictures classified, the latent map, labelling, curves. Nothing is written into "
        "a run but the labels that are saved on the page.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run, or a folder of runs")
    add_int(parser, "--port", "port to listen on (8571, or where that is taken any free one)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen on another address of this machine: others can then see and use the runs (127.0.0.1)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only say where the page is")
    add_machine(parser)
    add_data_root(parser)
    args = parser.parse(argv)
    check_positive(args, "port", "threads")
    root = existing_root(args)
    from genshift.studio.server import studio as serve

    options = {name: getattr(args, name) for name in ("port", "host", "device", "threads")}
    serve(args.runs, browser=not args.no_browser, data_root=root, **options)
    print_next("report", *args.runs, "--out", "page.html")
    return 0


def data(argv: Sequence[str]) -> int:
    """ls, get, check, build, pack: data sets"""
    from genshift.cli.data import run

    return run(argv)


def clean(argv: Sequence[str]) -> int:
    """drop from a finished run what only continuing needs"""
    parser = Parser("genshift clean", description="Drops old checkpoints and optimizers' state from a finished run.")
    parser.add_argument("run", type=Path)
    args = parser.parse(argv)
    from genshift import api

    say(f"{args.run}: {api.clean(args.run) / 2**20:,.1f} MiB freed; it answers as before.")
    after_training(RunFolder(args.run))
    return 0


def completion(argv: Sequence[str]) -> int:
    """a shell's completion of these commands, to print into its own file"""
    parser = Parser("genshift completion", description="Prints a completion script, e.g. for `eval`.")
    parser.add_argument("shell", type=choice(("bash", "zsh", "tcsh"), "shell"), help="bash, zsh or tcsh")
    args = parser.parse(argv)
    import shtab

    root = argparse.ArgumentParser("genshift")
    verbs = root.add_subparsers()
    for name, verb in COMMANDS.items():
        for built in built_by(verb):
            _complete_values(built)
            options: dict[str, Any] = {"parents": [built], "add_help": False, "conflict_handler": "resolve"}
            verbs.add_parser(name, help=verb.__doc__, **options)
    print(shtab.complete(root, args.shell))
    return 0


def _complete_values(parser: Parser) -> None:
    """What a shell offers where a preset, a method or a path is expected."""
    import shtab

    named = [name for name, preset in PRESETS.items() if preset.study != presets.benchmark.STUDY]
    for action in parser._actions:
        if action.dest == "preset":
            action.choices = [*METHODS, *named]
        elif action.type is Path or action.dest in PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it


VERBS = (
    *(ls, show, train, distill, sample, sweep, reconstruct, select, label, predict, embed, export, evaluate, compare),
    *(study, bundle, push, report, studio, data, demo, clean, completion),
)
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {verb.__name__: verb for verb in VERBS}


def usage() -> str:
    """The text of `genshift --help`."""
    lines = [f"genshift {genshift.__version__}: generative image models and domain adaptation.", ""]
    lines += ["usage: genshift COMMAND …", ""]
    lines += [f"  {name:<11} {command.__doc__}" for name, command in COMMANDS.items()]
    lines += ["", "  --version   versions and hardware; with torch they take a second", "  --help      this"]
    lines += ["", "Any command takes --plugin FILE: Python of your own that adds methods, data sets or backbones."]
    lines += ["", "`genshift COMMAND --help` says what each takes. Start with `genshift demo`."]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0, 2 for wrong input, 130 where it was interrupted."""
    try:
        _prepare_streams()
        words = with_plugins(sys.argv[1:] if argv is None else argv)
        if not words or words[0] in ("-h", "--help", "help"):
            print(usage())
            return 0
        if words[0] == "--version":
            if words[1:]:
                raise Refusal(f"'{words[1]}' is one argument too many: `genshift --version` takes none.")
            from genshift.device import environment

            for name, value in environment().items():
                print(f"{name:<9} {value}")
            return 0
        if words[0] not in COMMANDS:
            raise unknown("command", words[0], COMMANDS, "`genshift --help` lists them.")
        status = COMMANDS[words[0]](words[1:])
        sys.stdout.flush()
        return status
    except Refusal as refusal:
        return _refuse(str(refusal), leads() or isinstance(refusal, PeerEnded))
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _refuse(str(of_os_error(error, f"using {error.filename}" if error.filename else "reading or writing")))
    except (MemoryError, RuntimeError, ImportError, TypeError, OverflowError) as error:  # where it says: no room
        ended = of_exhaustion(error)
        if not isinstance(ended, Refusal):
            raise
        return _refuse(str(ended))
    except KeyboardInterrupt:
        print("genshift: interrupted.", file=sys.stderr)
        return INTERRUPTED


def _prepare_streams() -> None:
    """Lets a terminal that cannot show a character show its escape. Refusal where standard output is closed: a file
    that is opened later would take its place, and what is printed would go into that."""
    if sys.stderr is None:  # what is meant for it would be printed on standard output
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        raise Refusal("Standard output is closed: open it, or send it to a file (> FILE).")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's is none, and shows all
            stream.reconfigure(errors="backslashreplace")


def _refuse(sentence: str, speaks: bool | None = None) -> int:
    """Prints why nothing came of the command; of torchrun's processes, the first one does, or those that `speaks`."""
    if leads() if speaks is None else speaks:
        print(f"genshift: {sentence}", file=sys.stderr)
    return 2


def _drop_output() -> None:
    """Lets what Python still holds for a closed pipe or a full disk go nowhere, or it would complain at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
