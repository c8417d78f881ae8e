"""The commands of generators: `sample` and `sweep`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from genshift.cli.endings import leads, print_json, print_next, print_next_evaluation, print_unfinished, say
from genshift.cli.parser import (
    Parser,
    add_data_root,
    add_int,
    add_json,
    add_out,
    add_places,
    add_sampling,
    check_positive,
    choice,
    existing_root,
    given_places,
    given_sampling,
    interval,
    number,
    several,
)
from genshift.runs.folder import RunFolder


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
