"""The commands that train: `train`, `distill`; and a preset with its options, as they and `show` take it."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genshift import presets
from genshift.cli.endings import command_line, end_training, leads, print_json
from genshift.cli.parser import (
    Parser,
    add_options,
    add_out,
    add_places,
    add_training,
    check_positive,
    choice,
    existing_root,
    given_places,
)
from genshift.errors import Refusal
from genshift.presets import METHODS, PRESETS, Preset, Sampling, Student, methods, option_fields
from genshift.presets.diffusion import FOLDED, STUDENT_OPTIONS

if TYPE_CHECKING:
    from genshift.run import Run

INTERRUPTED = 130


def with_preset(parser: Parser, argv: Sequence[str], sets: Mapping[str, str]) -> tuple[argparse.Namespace, Preset]:
    """The arguments, and the preset or method that they name with the options that were given.

    `sets` stand for a method's source and target where none are given.
    """
    title = "options of the preset (default: the preset's own, see `genshift show PRESET`)"
    methods.load_installed_for(word for word in argv if word not in PRESETS)
    every = presets.all_classes()
    # First which preset it is: its name may stand anywhere, and a flag's value may be the name of another.
    first = Parser(parser.prog, "", parents=[parser], conflict_handler="resolve", add_help=False)
    add_options(first, every, typed=False)
    if asking := {"-h", "--help"} & set(argv):  # the options of what is named, or all there are
        classes: list[type] = every
        with contextlib.suppress(Refusal):  # who asks for help need not name a preset that is there
            others = [word for word in argv if word not in asking]
            named = first.parse_known_args([*others, "--out", "RUN"])[0].preset
            classes = [type(presets.named(named, **presets.benchmark.OWN))]
        add_options(parser.add_argument_group(title), classes)
        parser.parse(argv)
    known, _ = first.parse_known_args(argv)
    given_sets = {domain: getattr(known, domain) for domain in presets.benchmark.OWN}
    pair = {domain: sets.get(domain) if given is None else given for domain, given in given_sets.items()}
    preset = presets.named(presets.benchmark.road(known.preset, known.weights), **pair)
    # Then its own options, each of its type.
    add_options(parser.add_argument_group(title), [type(preset)])
    args = parser.parse(argv)
    given = {f.name: getattr(args, f.name) for f in option_fields(preset) if getattr(args, f.name) is not None}
    if args.preset in METHODS:  # its sets made the preset
        given = {name: value for name, value in given.items() if name not in pair}
    return args, preset.replaced(**given) if given else preset


def train(argv: Sequence[str]) -> int:
    """train a preset into a run folder; the same command continues"""
    parser = Parser("genshift train", description="Trains a preset into a run folder. The same command continues it.")
    parser.add_argument("preset", help="a preset's name, or a method's, which takes any two sets")
    add_out(parser, "RUN", "the run folder")
    add_training(parser)
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="RUN",
        help="start from the networks of this run; what it held out stays held out",
    )
    trackers = ("tensorboard", "wandb", "mlflow")
    words = "tell tensorboard, wandb or mlflow too (an extra each), on this machine unless that is told a server"
    parser.add_argument("--track", type=choice(trackers, "--track"), metavar="NAME", help=words)
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    args, preset = with_preset(parser, argv, {})
    how = {**_training(args), "skip_broken": args.skip_broken, "start": args.start}
    if args.dry_run:
        return _print_plan(preset, args.out, how)
    from genshift import api

    how |= {**_outcome(args), "track": args.track}
    return _end(api.train(preset, args.out, command=command_line("train", *argv), **how), args)


def _training(args: argparse.Namespace) -> dict[str, Any]:
    """How a run is trained, by the flags of `add_training`; Refusal of what contradicts itself."""
    check_positive(args, "threads", "keep", "minutes")
    if args.images is not None and args.minutes is not None:
        raise Refusal("--images and --minutes both name the budget: give one of them.")
    names = ("seed", "minutes", "device", "threads", "keep")
    return {"data_root": existing_root(args), **{name: getattr(args, name) for name in names}}


def _outcome(args: argparse.Namespace) -> dict[str, Any]:
    """What is told and measured of a training, by the same flags."""
    return {"log": args.log, "evaluate": not args.no_evaluate, "keep_pictures": not args.no_pictures}


def _print_plan(preset: Preset, out: Path, how: Mapping[str, Any]) -> int:
    """What `-n` prints: the preset, and what its training would cost."""
    from genshift import api

    preset = api.resolved(preset, out)
    plan = api.plan(preset, out, **how)
    print_json({"preset": preset.name, **preset.options(), "plan": asdict(plan)})
    print(plan.sentence(), file=sys.stderr)
    return 0


def _end(run: Run, args: argparse.Namespace) -> int:
    """What a training came to, and its exit status."""
    if leads():
        end_training(run, as_json=args.json, data_root=existing_root(args))
    return 0 if run.finished else INTERRUPTED


def distill(argv: Sequence[str]) -> int:
    """a diffusion model's student, which draws in 1 to 8 passes"""
    parser = Parser(
        "genshift distill",
        description="Trains a student of a diffusion model, which draws in 1, 2, 4 or 8 passes with the guidance "
        "folded in; by default it costs what its teacher's training did. The same command continues it.",
    )
    parser.add_argument("run", type=Path, help="the teacher: a diffusion model's run")
    add_out(parser, "RUN", "the student's run folder")
    add_training(parser)
    add_places(parser, "data", "held_out")
    folded = parser.add_argument_group("how the teacher is to draw (default: as its `sample`)")
    add_options(folded, [Sampling], only=FOLDED)
    add_options(parser.add_argument_group("options of the training"), [Student], only=STUDENT_OPTIONS)
    args = parser.parse(argv)
    how = _training(args)
    from genshift import api

    options = {name: value for name in (*FOLDED, *STUDENT_OPTIONS) if (value := getattr(args, name)) is not None}
    places = given_places(args)
    if args.dry_run:
        preset = api.student(args.run, places=places, **options)
        return _print_plan(preset, args.out, {**how, "start": args.run})
    run = api.distill(args.run, args.out, command=command_line("distill", *argv), places=places, **how,
                      **_outcome(args), **options)  # fmt: skip
    return _end(run, args)
