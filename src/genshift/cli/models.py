"""The commands that ask a model: `predict`, `reconstruct`, `embed`; that measure it: `select`, `evaluate`, `label`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from genshift.cli.endings import (
    after_training,
    print_choice,
    print_json,
    print_measures,
    print_next,
    print_next_evaluation,
    print_results,
    print_unfinished,
    say,
    where_data_lies,
)
from genshift.cli.parser import (
    Parser,
    add_data_root,
    add_decoding,
    add_int,
    add_json,
    add_machine,
    add_no_pictures,
    add_out,
    add_places,
    add_sampling,
    check_positive,
    check_weights,
    choice,
    existing_root,
    given_decoding,
    given_places,
    given_sampling,
    name_or_path,
    number,
)
from genshift.errors import Refusal
from genshift.runs.folder import RunFolder


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
