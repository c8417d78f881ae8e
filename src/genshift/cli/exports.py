"""The commands of a model that leaves: `export` as one file, `bundle` and `push` in a model hub's form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from genshift.cli.endings import print_json, print_next, print_unfinished, say
from genshift.cli.parser import Parser, add_json, add_out, add_sampling, choice, given_sampling
from genshift.runs.folder import RunFolder


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
