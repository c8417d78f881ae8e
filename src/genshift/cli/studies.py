"""The commands of many runs: `study`, `compare`, `report`, and `demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genshift.cli.endings import command_line, print_json, print_next, say, say_trained, where_data_lies
from genshift.cli.parser import (
    Parser,
    add_data_root,
    add_int,
    add_json,
    check_positive,
    check_weights,
    choice,
    existing_root,
    number,
)
from genshift.cli.training import INTERRUPTED
from genshift.errors import Refusal
from genshift.runs.find import find_runs

if TYPE_CHECKING:
    from genshift.studies import Study

OF_EVERY_RUN = ("seeds", "threads", "weights", "photos", "processes")  # flags of `study` that each of its runs takes


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
