"""The command line. It imports no torch until a command needs it, so that help and refusals come at once."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import genshift
from genshift import presets
from genshift.cli.endings import (
    after_training,
    command_line,
    end_training,
    leads,
    print_choice,
    print_json,
    print_measures,
    print_next,
    print_next_evaluation,
    print_next_training,
    print_results,
    print_unfinished,
    say,
    say_trained,
    where_data_lies,
)
from genshift.cli.hub import bundle, push
from genshift.cli.parser import (
    Parser,
    add_data_root,
    add_decoding,
    add_int,
    add_json,
    add_machine,
    add_no_pictures,
    add_options,
    add_out,
    add_places,
    add_sampling,
    add_training,
    built_by,
    check_positive,
    check_weights,
    choice,
    existing_root,
    given_decoding,
    given_places,
    given_sampling,
    interval,
    name_or_path,
    number,
    several,
    with_plugins,
)
from genshift.errors import PeerEnded, Refusal, of_exhaustion, of_os_error, unknown
from genshift.presets import METHODS, PRESETS, Preset, Sampling, Student, methods, option_fields
from genshift.presets.diffusion import FOLDED, STUDENT_OPTIONS
from genshift.runs.find import find_runs
from genshift.runs.folder import RunFolder

if TYPE_CHECKING:
    from genshift.run import Run
    from genshift.studies import Study

INTERRUPTED = 130
OF_EVERY_RUN = ("seeds", "threads", "weights", "photos", "processes")  # flags of `study` that each of its runs takes
PATHS = (
    "images",
    "source",
    "target",
    "extra",
    "data",
    "pictures",
    "reference",
)  # beside those that are read as paths: they may be sets' names


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
    args, preset = _with_preset(parser, argv, presets.benchmark.OWN)
    from genshift import api
    from genshift.cli.listing import show_text

    shown = api.show(preset)
    if args.json:
        print_json(shown)
    else:
        print(show_text(shown))
        print_next_training(preset)
    return 0


def _with_preset(parser: Parser, argv: Sequence[str], sets: Mapping[str, str]) -> tuple[argparse.Namespace, Preset]:
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
    args, preset = _with_preset(parser, argv, {})
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


def sample(argv: Sequence[str]) -> int:
    """pictures of a generator, as PNG files and a grid"""
    parser = Parser("genshift sample", description="Draws pictures; the same command continues what was stopped.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=number(int, "--count"), required=True, metavar="N", help="how many")
    parser.add_argument(
        "--label",
        metavar="K",
        help="draw the class of this name alone, or none: without a label (classes take turns)",
    )
    add_int(parser, "--label-index", "draw this class alone, by its place in the run's classes, from 0")
    add_int(parser, "--seed", "names the series that pictures are drawn from (0)", 0)
    add_int(parser, "--first", "number of the first picture in its series (0)", 0)
    parser.add_argument(
        "--names",
        type=choice(("number", "class", "folder"), "--names"),
        default="number",
        help="files named by number (00000_CLASS.png), by class (CLASS_001.png), or in class folders (CLASS/00000.png)",
    )
    add_out(parser, "DIR", "folder for the pictures")
    add_sampling(parser)
    args = parser.parse(argv)
    check_positive(args, "count")
    from genshift import api

    which = {name: getattr(args, name) for name in ("label", "label_index", "seed", "first", "names")}
    api.sample(args.run, args.count, args.out, **which, **given_sampling(args))
    if leads():
        say(f"{args.out}: {args.count:,} pictures and grid.png.")
    print_unfinished(RunFolder(args.run))
    print_next_evaluation(RunFolder(args.run))
    return 0


def sweep(argv: Sequence[str]) -> int:
    """a diffusion model's guidance, steps and sampler, measured; the best stays in the run"""
    parser = Parser(
        "genshift sweep",
        description="Draws with one setting after the other and measures; the same command continues what was stopped.",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--features", type=Path, required=True, metavar="RUN", help="the classifier's run that judges")
    add_int(parser, "--count", "pictures of each setting (500, or half the training pictures)")
    parser.add_argument(
        "--accuracy",
        type=number(float, "--accuracy"),
        metavar="A",
        help="choose the lowest distance of the settings that reach this (two standard errors below the highest)",
    )
    lists: dict[str, tuple[Callable[[str], Any], str]] = {
        "--guides": (str, "what guidance leads away from: unconditional, weak, both (the preset's own)"),
        "--guidance": (number(float, "--guidance"), "guidance strengths (1,1.5,2,3)"),
        "--intervals": (interval("--intervals"), "noise levels where guidance acts (0-1,0.1-0.8,0-0.6)"),
        "--steps": (number(int, "--steps"), "numbers of steps (5,8,12,20)"),
        "--samplers": (str, "samplers (dpm++2m,dpm++3m,unipc,ddim)"),
        "--clips": (str, "whether predicted pictures are kept within the pixels' range: off,on (as the preset)"),
        "--skips": (
            number(float, "--skips"),
            "a table of its own, which chooses nothing: shares of the steps that leave guidance out, by the preset's "
            "own sampler, of 100 pictures each (hw2: 0,0.25,0.5,0.75,1)",
        ),
    }
    for flag, (read, help) in lists.items():
        parser.add_argument(flag, type=several(read), metavar="A,B,…", help=help)
    add_places(parser, "data", "held_out")
    add_data_root(parser)
    add_json(parser)
    args = parser.parse(argv)
    check_positive(args, "count")
    from genshift import api

    axes = {
        name: getattr(args, name) for name in ("guides", "guidance", "intervals", "steps", "samplers", "clips", "skips")
    }
    given: dict[str, Any] = {name: values for name, values in axes.items() if values is not None}
    given |= {"data_root": existing_root(args), "places": given_places(args)}
    results = api.sweep(args.run, args.features, count=args.count, accuracy=args.accuracy, **given)
    if args.json:
        print_json(results)
    elif args.skips is not None:
        say(f"{args.run}: sweep.json, {len(results['rows'])} shares of steps without guidance")
        print_next("report", args.run, "--out", "page.html")
    else:
        say(f"{args.run}: sweep.json, and sampling.json: {results['best']['why']}")
        print_next("sample", args.run, "--count", 100, "--out", "samples")
    return 0


def select(argv: Sequence[str]) -> int:
    """an adapted run's checkpoint, chosen without target labels; predict, embed and evaluate then use it"""
    from genshift.selection.rules import DEFAULT_RULE, RULES

    parser = Parser(
        "genshift select", description="Scores checkpoints without a target label, and chooses one of them."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="an adapted run, or several of one task")
    rules = "; ".join(f"{name}: {what}" for name, what in RULES.items())
    parser.add_argument(
        "--rule", type=choice(tuple(RULES), "--rule"), default=DEFAULT_RULE, help=f"({DEFAULT_RULE}) {rules}"
    )
    by = "choose by these labels of target pictures instead (CSVs as of `label`), and say what such a choice costs"
    parser.add_argument("--labels", type=Path, nargs="+", metavar="FILE", help=by)
    add_places(parser, "source", "target", "held_out")
    add_data_root(parser)
    add_json(parser)
    args = parser.parse(argv)
    root = existing_root(args)
    if args.labels is not None:
        return _select_by_labels(args, root)
    from genshift import api
    from genshift.report.console import format_selection

    selection = api.select(args.runs, rule=args.rule, data_root=root, places=given_places(args))
    if args.json:
        print_json(selection)
        return 0
    print(format_selection(selection))
    chosen = RunFolder(Path(selection["run"]))
    print_choice(chosen)
    after_training(chosen, root)
    return 0


def _select_by_labels(args: argparse.Namespace, root: Path | None) -> int:
    """What `select --labels` prints: every candidate on the labelled pictures, the choice and its cost."""
    from genshift import api

    chosen = api.select(args.runs, rule=args.rule, labels=args.labels, data_root=root, places=given_places(args))
    if args.json:
        print_json(chosen)
        return 0
    for name, accuracy in chosen["candidates"].items():
        say(f"{name:<34} {accuracy:.1%}{'  chosen' * (name == chosen['checkpoint'])}")
    by = f"Chosen by {chosen['n']} labels: {chosen['accuracy']:.1%} of them are right"
    cost = f"{100 * chosen['optimism']:.1f} points too high"
    say(f"{by}, which the choice itself makes about {cost}; label others to know the accuracy.")
    after_training(RunFolder(args.runs[0]), root)
    return 0


def reconstruct(argv: Sequence[str]) -> int:
    """a VAE's reconstructions of pictures, with their errors"""
    parser = Parser("genshift reconstruct", description="Writes a VAE's reconstructions, pairs.png and errors.csv.")
    _add_run_and_images(parser)
    add_out(parser, "DIR", "folder for the pictures")
    args = parser.parse(argv)
    from genshift import api

    rows = api.reconstruct(args.run, args.images, args.out, **_reading(args))
    mean = sum(row[1] for row in rows) / len(rows)
    say(f"{args.out}: {len(rows):,} reconstructions; mean squared error {mean:.5f}, each in errors.csv.")
    print_unfinished(RunFolder(args.run))
    print_next("embed", args.run, args.images, "--out", "features.npz")
    return 0


def predict(argv: Sequence[str]) -> int:
    """class and confidence of pictures, or their attributes, as CSV"""
    parser = Parser("genshift predict", description="Predicts the class, or the attributes, of each picture.")
    _add_run_and_images(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="labels.csv")
    sort = "a new folder that gets a copy of each picture in the folder of its class"
    parser.add_argument("--sort", type=Path, metavar="DIR", help=sort)
    parts = "with --sort: pictures of a lower confidence (0 to 1) lie apart, in DIR/doubtful, the others in DIR/sure"
    parser.add_argument("--least", type=number(float, "--least"), metavar="P", help=parts)
    parser.add_argument("--link", action="store_true", help="with --sort: links to the pictures instead of copies")
    add_machine(parser)
    args = parser.parse(argv)
    check_positive(args, "threads")
    if args.out is None and args.sort is None:
        raise Refusal("Nothing is to be written: name --out labels.csv, --sort DIR, or both.")
    from genshift import api
    from genshift.report.model.formatting import counted

    sorting = {"sort": args.sort, "least": args.least, "link": args.link}
    machine = {"device": args.device, "threads": args.threads}
    rows = api.predict(args.run, args.images, args.out, **sorting, **machine, **_reading(args))
    summary = f"{args.out or args.sort}: {counted(len(rows), 'prediction')}"
    if isinstance(rows[0][1], str):
        (commonest, times), *others = Counter(row[1] for row in rows).most_common()
        summary += f"; {counted(1 + len(others), 'class')} named, most often {commonest} ({times / len(rows):.0%})"
    say(f"{summary}.")
    if args.sort is not None:
        doubtful = 0 if args.least is None else sum(row[2] < args.least for row in rows)
        apart = f", and {doubtful:,} below {args.least:g} in doubtful" if args.least is not None else ""
        say(f"{args.sort}: {len(rows) - doubtful:,} {'links' if args.link else 'copies'} in class folders{apart}.")
    print_unfinished(RunFolder(args.run))
    print_choice(RunFolder(args.run), args.images)
    print_next_evaluation(RunFolder(args.run))
    return 0


def embed(argv: Sequence[str]) -> int:
    """latent features of pictures, as .npz"""
    parser = Parser("genshift embed", description="Writes the latent features of pictures.")
    _add_run_and_images(parser)
    add_out(parser, "FILE", "features.npz")
    add_machine(parser)
    args = parser.parse(argv)
    check_positive(args, "threads")
    from genshift import api

    features = api.embed(args.run, args.images, args.out, device=args.device, threads=args.threads, **_reading(args))
    say(f"{args.out}: features {features.shape[0]:,} × {features.shape[1]}.")
    print_unfinished(RunFolder(args.run))
    print_next_evaluation(RunFolder(args.run))
    return 0


def _add_run_and_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=name_or_path, help="a folder of pictures, a data set's name, or one picture")
    parser.add_argument("--split", default="train", help="part of the set: train or test (train)")
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    add_decoding(parser, "the run's own", fit=False)
    add_data_root(parser)


def _reading(args: argparse.Namespace) -> dict[str, Any]:
    how = {"split": args.split, "data_root": existing_root(args), "skip_broken": args.skip_broken}
    return how | given_decoding(args)


def evaluate(argv: Sequence[str]) -> int:
    """measures of a run on real pictures that it was not trained on, and its drawings; or of two folders"""
    parser = Parser("genshift evaluate", description="Evaluates a run on its test splits, or two sets of pictures.")
    parser.add_argument("run", type=Path, nargs="?")
    sets = parser.add_argument_group("two sets of pictures, instead of a run")
    sets.add_argument("--pictures", metavar="DIR", help="a folder, or a data set's name")
    sets.add_argument("--reference", metavar="DIR", help="a folder, a data set's name, or a run: what it learnt from")
    sets.add_argument("--size", type=number(int, "--size"), metavar="N", help="bring both to N pixels first")
    sets.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    sets.add_argument("--out", type=Path, metavar="FILE", help="write what --json prints")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="RUN",
        help="a generator's, and of two sets: a classifier's run, for distances in its features",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the same: Inception's weights, for FID and KID")
    parser.add_argument("--download", action="store_true", help="leave to fetch Inception's weights (96 MB)")
    words = "a diffusion model's: the preset's own sampler in N steps draws what is shown, ten a class and the states"
    add_int(parser, "--shown-steps", f"{words} (as what is measured)")
    add_no_pictures(parser)
    add_machine(parser)
    add_data_root(parser)
    add_json(parser)
    add_sampling(parser)
    add_places(parser, "data", "source", "target", "held_out")
    few = parser.add_argument_group("a few labels of an adapted run's target, instead of its test splits")
    few.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="CSVs that a page of `genshift label` saved, or image_name,label",
    )
    few.add_argument("--encoding", metavar="NAME", help="their text encoding (utf-8)")
    args = parser.parse(argv)
    check_positive(args, "threads")
    root = existing_root(args)
    check_weights(args)
    from genshift import api

    if args.labels is not None:
        return _audit(args, root)
    if args.encoding is not None:
        raise Refusal("--encoding is of --labels, which is not given: leave it out.")

    of_sets = ("pictures", "reference", "out", "size", "skip_broken")
    names = ("features", "weights", "download", "shown_steps", "device", "threads", *of_sets)
    options = {name: getattr(args, name) for name in names}
    options["keep_pictures"] = not args.no_pictures
    drawing, places = given_sampling(args), given_places(args)
    results = api.evaluate(args.run, data_root=root, sampling=drawing, places=places, **options)
    if args.json:
        print_json(results)
        return 0
    if args.run is None:
        print_measures(results)
        print_next("data", "check", args.pictures, *where_data_lies(args.data_root))
        return 0
    print_results(RunFolder(args.run))
    print_next("report", args.run, "--out", "page.html")
    return 0


def _audit(args: argparse.Namespace, root: Path | None) -> int:
    """What `evaluate --labels` prints: the run's accuracy by a few labels."""
    given = [f"--{name}" for name in ("features", "weights", "shown_steps") if getattr(args, name) is not None]
    given += [f"--{name}" for name in given_sampling(args)] + ["--download"] * args.download
    if args.run is None or given:
        what = given[0] if given else "a run"
        raise Refusal(
            f"--labels evaluates a run by labels alone: {'leave out' if given else 'name'} {what.replace('_', '-')}."
        )
    from genshift import api
    from genshift.evaluation.labels import FOLDER, PLAN, sentences

    where = {"data_root": root, "places": given_places(args), "device": args.device, "threads": args.threads}
    of_sets = {name: getattr(args, name) for name in ("pictures", "reference", "out", "size", "skip_broken")}
    found = api.evaluate(args.run, labels=args.labels, encoding=args.encoding or "utf-8", **where, **of_sets)
    if args.json:
        print_json(found)
        return 0
    for line in sentences(cast(Any, found)):
        say(line)
    if more := found["more_to_halve"]:
        say(f"About {more:,} more labels would halve the interval.")
        beside = args.labels[0].parent
        out = ("--out", beside) if (beside / PLAN).exists() and beside != args.run / FOLDER else ()
        print_next("label", args.run, "--count", found["drawn"] + more, *out, *where_data_lies(args.data_root))
    else:
        print_next("report", args.run, "--out", "page.html")
    return 0


def label(argv: Sequence[str]) -> int:
    """a page to label a few target pictures on; evaluate --labels then tells the accuracy"""
    parser = Parser(
        "genshift label",
        description="Draws pictures of a run's target at random within strata of confidence, and writes a page to "
        "label them in a browser by keyboard; a larger --count draws further ones to those. Training never sees the "
        "labels.",
    )
    parser.add_argument("run", type=Path)
    add_int(parser, "--count", "pictures to label in all (50)", 50)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the page and the plan (RUN/labels)")
    add_int(parser, "--seed", "names the chance by which they are drawn (0)")
    parser.add_argument("--split", default="train", help="part of the target: train or test (train)")
    ready = "take the labels of those that are drawn from these CSVs (image_name,label), instead of a page"
    parser.add_argument("--labels", type=Path, nargs="+", metavar="FILE", help=ready)
    parser.add_argument("--encoding", metavar="NAME", default="utf-8", help="their text encoding (utf-8)")
    add_machine(parser)
    add_places(parser, "target")
    add_data_root(parser)
    args = parser.parse(argv)
    check_positive(args, "count", "threads")
    root = existing_root(args)
    from genshift import api

    names = ("count", "out", "seed", "split", "labels", "encoding", "device", "threads")
    options = {name: getattr(args, name) for name in names}
    drawn = api.label(args.run, data_root=root, places=given_places(args), **options)
    if drawn.page is None:
        say(f"{drawn.csv}: labels of {drawn.found:,} of the {drawn.last:,} pictures that were drawn.")
    else:
        say(f"{drawn.page}: pictures {drawn.first:,} to {drawn.last:,}; open it in a browser, and label by keyboard.")
        say(f"Put the CSV that it saves beside {drawn.plan}, which says how the pictures were drawn.")
    print_next("evaluate", args.run, "--labels", drawn.csv, *where_data_lies(args.data_root))
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


def export(argv: Sequence[str]) -> int:
    """what a run answers with, as one file that runs without genshift"""
    parser = Parser(
        "genshift export",
        description="Writes a run's chosen checkpoint as one file: reading of pictures, networks and softmax as an "
        "ONNX graph or PyTorch's exported program, or the weights alone; only if it answers as PyTorch does.",
    )
    parser.add_argument("run", type=Path)
    formats = ("onnx", "pt2", "safetensors")
    words = "onnx (extra `export`), pt2 or safetensors (what --out ends in, else onnx)"
    parser.add_argument("--format", type=choice(formats, "--format"), metavar="FORMAT", help=words)
    parser.add_argument("--out", type=Path, metavar="FILE", help="(RUN's name and the format, in the current folder)")
    parts = "classifier or encoder; of a VAE decoder, encoder or prior; generator; denoiser or weak (the first of each)"
    parser.add_argument("--part", metavar="NAME", help=parts)
    add_json(parser)
    add_sampling(parser)
    args = parser.parse(argv)
    from genshift import api

    done = api.export(args.run, args.out, format=args.format, part=args.part, **given_sampling(args))
    if args.json:
        print_json(asdict(done))
        return 0
    size = f"{done.bytes / 1e6:,.1f} MB"
    say(f"{done.file}: {done.part}, {size}; agrees with PyTorch to {done.difference:.1e} (at most 1e-4 is written).")
    print_unfinished(RunFolder(args.run))
    print_next("report", args.run, "--out", "page.html")
    return 0


def compare(argv: Sequence[str]) -> int:
    """one table over runs"""
    parser = Parser("genshift compare", description="Prints one table over runs, or folders of runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    formats = ("text", "markdown", "latex", "csv", "json")
    parser.add_argument(
        "--format", choices=formats, metavar="FORMAT", help=f"{', '.join(formats[:-1])} or {formats[-1]} (text)"
    )
    add_json(parser)
    args = parser.parse(argv)
    if args.json and args.format not in (None, "json"):
        raise Refusal(f"--json and --format {args.format} name two formats: give one of them.")
    from genshift.report.console import compared_model, compared_rows, format_table
    from genshift.report.tables import formatted

    folders = list(find_runs(args.runs))
    say_trained(folders)
    model = compared_model(folders)
    rows = compared_rows(model)
    if args.json or args.format == "json":
        print_json(rows)
    elif args.format in (None, "text"):
        print(format_table(rows))
        print_next("report", *args.runs, "--out", "page.html")
    else:
        print(formatted(model, rows, args.format), end="")
    return 0


def study(argv: Sequence[str]) -> int:
    """train what is missing of a study, evaluate, report; -n prints what that takes"""
    args = _study_parser().parse(argv)
    check_positive(args, "seeds", "jobs", "threads", "processes")
    check_weights(args)
    options: dict[str, Any] = {"data_root": existing_root(args)}
    options |= {name: getattr(args, name) for name in OF_EVERY_RUN}
    from genshift import api, studies
    from genshift.studies.running import run_one, run_study

    out = args.out or Path("runs", Path(args.name).stem)
    chosen = studies.get(args.name)
    where = ("--out", out, *where_data_lies(args.data_root))
    again = (*_given(args, "only", "without", *OF_EVERY_RUN, "jobs", "cluster", "gpus", "record"), *where)
    if args.one is not None:
        return 0 if run_one(chosen, args.budget, out, args.one, **options) else INTERRUPTED
    if args.commands:
        _print_commands(chosen, out, args, options)
        return 0
    options |= {name: getattr(args, name) for name in ("jobs", "only", "without")}
    if args.dry_run:
        for line in api.plan_study(args.name, out, args.budget, **options).lines:
            say(line)
        print_next("study", args.name, "--budget", args.budget, *again)
        return 0
    options |= {name: getattr(args, name) for name in ("record", "cluster", "gpus")}
    outcome = run_study(chosen, args.budget, out, **options)
    if not outcome.finished:
        return INTERRUPTED
    larger = {"quick": "cpu", "cpu": "full"}.get(args.budget)
    if args.budget == "cpu" and all(chosen.images(p, "cpu") == chosen.images(p, "full") for p in chosen.presets()):
        larger = None  # as in a study of one's own: it trained what full would
    if outcome.page is not None:
        more = ("study", args.name, "--budget", larger, *again) if larger else ("compare", out)
        _say_page(outcome.page, out, more)
    if outcome.left_out:
        raise _left_out(outcome.left_out)
    return 0


def _print_commands(study: Study, out: Path, args: argparse.Namespace, options: dict[str, Any]) -> None:
    """A line a run, in blocks whose lines may run side by side, each after the one before; the last makes the page."""
    from genshift.studies.commands import shell_line
    from genshift.studies.jobs import in_turns, jobs_of, selected
    from genshift.studies.plan import seeds_of

    jobs = jobs_of(study, args.budget, out, **{**options, "seeds": seeds_of(study, args.budget, args.seeds)})
    for place, block in enumerate(in_turns(selected(jobs, args.only, args.without)), start=1):
        say(f"# block {place}: these may run side by side")
        for job in block:
            say(shell_line(job))
    say("# at the end")
    say(command_line("report", out, "--out", out / "page.html", *where_data_lies(args.data_root)))


def _given(args: argparse.Namespace, *names: str) -> list[object]:
    """The flags of `study` among `names` that were given, as they are typed."""
    parser, words = _study_parser(), list[object]()
    for name in names:
        if (value := getattr(args, name)) != parser.get_default(name):
            words += [f"--{name}", *(value if isinstance(value, list) else [value])]
    return words


def _study_parser() -> Parser:
    parser = Parser(
        "genshift study",
        description="Prints its plan, trains what is missing of a study, evaluates it, and writes page.html after "
        "every run. The same command continues it, and a larger budget goes on in the same folder. Exit status 0: all "
        "was trained; 2: something was left out, which the last line and the page say; 130: a signal stopped it.",
    )
    parser.add_argument(
        "name",
        help="hw2, hw3, adaptation, default, adda-tables, dann-tables, pooling-tables, balance-tables, faces, digits "
        "or demo; or a file NAME.toml that describes your own (the guide shows one)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the study's runs (runs/NAME)")
    parser.add_argument(
        "--budget",
        type=choice(("quick", "cpu", "full"), "--budget"),
        default="cpu",
        help="quick (about 25 minutes on two cores, one seed), cpu (a run takes at most 100 minutes of one core, but "
        "for hw2-diffusion, 5 to 8 hours) or full (cpu)",
    )
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="print the plan (minutes, memory, disk, what is missing), and leave",
    )
    parser.add_argument(
        "--commands", action="store_true", help="print a command for each run, for a queue of jobs, and leave"
    )
    parser.add_argument("--one", metavar="FOLDER", help="train and evaluate this run alone, as --commands prints it")
    for flag, what in (("--only", "train these runs alone"), ("--without", "leave these runs out")):
        help = f"{what}: presets, methods, families, tasks or run folders by name, or patterns such as 'hw2-gan-*'"
        parser.add_argument(flag, nargs="+", default=[], metavar="WORD", help=help)
    add_int(parser, "--seeds", "seeds of each preset (the study's own: 3; quick: 1)")
    add_int(parser, "--jobs", "runs at a time (1)", 1)
    add_int(parser, "--threads", "CPU threads of a process (PyTorch's choice; on a cluster 1)")
    add_int(parser, "--processes", "processes that share a run's batch, each with a GPU of its own, by torchrun (1)")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="a Ray cluster whose nodes make the runs, HOST:PORT or ray://HOST:PORT; DIR and data are on a file system "
        "that all share",
    )
    gpus = "GPUs of a process on the cluster, such as 0.25 (1 where the nodes have any)"
    parser.add_argument("--gpus", type=number(float, "--gpus"), metavar="SHARE", help=gpus)
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="also keep here, of each run, what the page shows, small and whole"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="Inception's weights: FID, KID and so on too")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos to build MNIST-M from, where it is missing")
    add_data_root(parser)
    return parser


def _left_out(left_out: Mapping[str, Sequence[str]]) -> Refusal:
    """The sentence on what a study lacks."""
    from genshift.report.model.formatting import counted

    names = [name for runs in left_out.values() for name in runs]
    reason, *others = left_out
    more = f" ({counted(len(others), 'more reason')} above.)" if others else ""
    which = f"{len(names)} runs are left out, such as {names[0]}" if len(names) > 1 else f"{names[0]} is left out"
    return Refusal(f"{which}: {reason}{more} The same command tries again.")


def _say_page(page: Path | None, out: Path, following: Sequence[object]) -> int:
    if page is None:
        return INTERRUPTED
    from genshift.report.console import compare as rows_of
    from genshift.report.console import format_table

    print(format_table(rows_of([out])))
    print()
    say(f"The page: {page}")
    print_next(*following)
    return 0


def report(argv: Sequence[str]) -> int:
    """write the page of some runs"""
    parser = Parser("genshift report", description="Writes one self-contained HTML page of runs.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders, or folders of runs")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="page.html; or results.md, from one folder of <study>/<run>/ with recorded results",
    )
    parser.add_argument("--title", help="the page's title")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="keep here, of each run, what the page shows, small and whole"
    )
    parser.add_argument(
        "--plotly", type=Path, metavar="FILE", help="plotly's file, shared by pages, instead of 4.5 MB in each"
    )
    parser.add_argument(
        "--to-share", action="store_true", help="leave out real pictures that their terms do not let pass on"
    )
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="write each drawing here as SVG, PNG and PDF, and each picture"
    )
    add_data_root(parser)
    args = parser.parse(argv)
    root = existing_root(args)
    from genshift.report.page import report as write_report

    if args.out is not None and args.out.suffix != ".md":
        say_trained(find_runs(args.folders))
    options = {"record": args.record, "plotly": args.plotly, "data_root": root, "to_share": args.to_share}
    options["figures"] = args.figures
    say(str(write_report(args.folders, args.out, args.title, **options)))
    print_next("compare", *args.folders, file=sys.stderr)  # what a script reads is the page's path alone
    return 0


def demo(argv: Sequence[str]) -> int:
    """a whole study in about two minutes on embedded data, no download"""
    parser = Parser(
        "genshift demo",
        description="Source-only, DANN, the default method and trained-on-target on embedded digits, and a page.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="folder (runs/demo)")
    add_int(parser, "--seeds", "seeds of each preset (1)", 1)
    args = parser.parse(argv)
    check_positive(args, "seeds")
    from genshift import api

    own = ("train", "adapt", "--source", "LABELLED", "--target", "UNLABELLED", "--out", "runs/mine")
    return _say_page(api.demo(args.out, args.seeds), args.out, own)


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
