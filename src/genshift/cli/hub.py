"""`genshift bundle` and `genshift push`: a run in a model hub's form, in a folder or on a hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genshift.cli.endings import print_next, print_unfinished, say
from genshift.cli.parser import Parser, add_out
from genshift.runs.folder import RunFolder


def bundle(argv: Sequence[str]) -> int:
    """a run in a model hub's form: weights, config, README.md; nothing of its data"""
    parser = Parser(
        "genshift bundle",
        description="Writes what a run answers with as a folder for a model hub, which genshift.load opens.",
    )
    parser.add_argument("run", type=Path)
    add_out(parser, "DIR", "the folder; an earlier bundle there is replaced")
    _add_license(parser)
    args = parser.parse(argv)
    from genshift import api

    out = api.bundle(args.run, args.out, license=args.license)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    say(f'{out}: {size / 1e6:,.1f} MB; genshift.load("{out}") answers as the run does. README.md says what it is.')
    print_unfinished(RunFolder(args.run))
    print_next("push", out, "OWNER/NAME")
    return 0


def push(argv: Sequence[str]) -> int:
    """send a run's bundle to a model hub (extra `hub`)"""
    parser = Parser(
        "genshift push",
        description="Sends a run, as `genshift bundle` writes it, to a repository of the hub that HF_ENDPOINT names "
        "(huggingface.co); log in with `hf auth login` first, or set HF_TOKEN.",
    )
    parser.add_argument("run", type=Path, help="a run, or a bundle, which is sent as it is")
    parser.add_argument("repo", metavar="REPO", help="OWNER/NAME; made where it is not there yet")
    parser.add_argument("--public", action="store_true", help="everybody may read it, where it is made now")
    _add_license(parser)
    args = parser.parse(argv)
    from genshift import api

    say(f"{args.run} is at {api.push(args.run, args.repo, license=args.license, public=args.public)}")
    print_next("report", args.run, "--out", "page.html")
    return 0


def _add_license(parser: Parser) -> None:
    words = "of the weights, by the hub's name of it, e.g. apache-2.0 (the README states none)"
    parser.add_argument("--license", metavar="NAME", help=words)
