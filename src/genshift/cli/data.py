"""`genshift data ls|get|check|build|pack`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genshift.cli.endings import print_next, say, where_data_lies
from genshift.cli.parser import (
    Parser,
    add_data_root,
    add_decoding,
    add_int,
    add_json,
    add_out,
    existing_root,
    given_decoding,
    name_or_path,
)
from genshift.errors import Refusal, plain, unknown
from genshift.paths import output_file

if TYPE_CHECKING:
    from rich.progress import TaskID

    from genshift.data.check import Description
    from genshift.data.survey import Survey

ROWS = 50  # of a contact sheet: a class, or ten pictures without one, in each

USAGE = """usage: genshift data COMMAND …

  ls                                  sets, what of them is here, licence and terms
  get NAME [--split S]                download with checksums
  check NAME [--sheet SHEET.png]      what is there, of which sizes, kinds and classes; contact sheet
  build mnistm --photos DIR           MNIST-M from MNIST and any photos
  pack NAME --out DIR                 memory-mapped shards of a set or folder"""


def run(argv: Sequence[str]) -> int:
    """Runs one `genshift data` command."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if argv[0] not in COMMANDS:
        raise unknown("data command", argv[0], COMMANDS, "`genshift data --help` lists them.")
    command = COMMANDS[argv[0]]
    return command(Parser(f"genshift data {argv[0]}", description=command.__doc__ or ""), argv[1:])


def ls(parser: Parser, argv: Sequence[str]) -> int:
    """Lists the sets with their licences, and what of them is on this machine."""
    add_data_root(parser)
    add_json(parser)
    args = parser.parse(argv)
    from genshift.cli.listing import data_sets

    sets = data_sets(existing_root(args))
    if args.json:
        print(json.dumps(sets, indent=1, ensure_ascii=False))
        return 0
    for d in sets:
        counts = ", ".join(f"{split} {n:,}" for split, n in d["images"].items())
        kind = "colour" if d["channels"] == 3 else "grey"
        size = f"{d['side'][0]}×{d['side'][1]}" if d["side"] else "many sizes"
        print(f"{d['name']}: {d['title']}; {counts}; {size}, {kind}")
        print(f"    here: {', '.join(d['here']) or 'nothing'}; {d['licence']}; {d['terms']}")
    print_next("data", "check", "uci")
    return 0


def get(parser: Parser, argv: Sequence[str]) -> int:
    """Downloads a set into --data-root, or the user's cache, and verifies its checksums."""
    parser.add_argument("name")
    parser.add_argument("--split", help="only this split (svhn's extra comes only when named)")
    add_data_root(parser)
    args = parser.parse(argv)
    from genshift.data import get as fetch

    with Downloads() as downloads:
        paths = fetch(args.name, args.split, data_root=args.data_root, say=downloads.say, progress=downloads.progress)
    for path in paths:
        print(path)
    print_next("data", "check", args.name, *where_data_lies(args.data_root), file=sys.stderr)
    return 0


class Downloads:
    """Shows how far downloads are: a bar on a terminal, elsewhere a line where a file begins and one where it ends."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Downloads:
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """One line, above the bar where there is one."""
        self.console.print(plain(text), markup=False)

    def progress(self, name: str, have: int, total: int | None) -> None:
        """Called after each piece of the file `name`."""
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(name, total=total)
            if self.bar.disable:
                self.say(f"{name}: fetching {f'{total / 1e6:,.1f} MB' if total else 'an unknown size'} …")
        self.bar.update(self.tasks[name], completed=have, total=total)
        if self.bar.disable and have == total:
            self.say(f"{name}: {have / 1e6:,.1f} MB are here; checking.")


def check(parser: Parser, argv: Sequence[str]) -> int:
    """Says what a set or folder holds, of which sizes, kinds, parts and classes, what is left out or broken, and draws
    a contact sheet."""
    parser.add_argument("name", type=name_or_path)
    parser.add_argument("--split", help="train or test (train); of a folder of pictures every part is looked at")
    words = "the contact sheet (NAME-SPLIT.png)"
    parser.add_argument("--out", "--sheet", type=Path, metavar="PNG", help=words)
    add_int(parser, "--size", "side in pixels to look at (a folder's own, or 64 where it has many)")
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    add_decoding(parser, "crop, white, 16 where that is clear, utf-8")
    add_data_root(parser)
    add_json(parser)
    args = parser.parse(argv)
    root = existing_root(args)
    out = output_file(args.out or Path(f"{Path(args.name).name or 'sheet'}-{args.split or 'train'}.png"))
    from genshift.data import check_set, contact_sheet
    from genshift.data.loading import is_pictures
    from genshift.data.survey import survey as survey_of

    how = {"size": args.size, "skip_broken": args.skip_broken, **given_decoding(args)}
    facts: Mapping[str, Any]
    if is_pictures(args.name):
        sets, survey = survey_of(args.name, args.split, **how)
        facts, lines, against = survey, survey_lines(survey), survey["against"]
        labelled = any(len(images.classes) > 1 for images in sets.values())
    else:
        images, described = check_set(args.name, args.split or "train", root, **how)
        sets = {"": images}
        facts, lines = described, description_lines(described)
        against, labelled = [described["against"]] if "against" in described else [], True
    # What it is like is to be seen, whatever speaks against it.
    sheet = contact_sheet(sets if len(sets) > 1 else next(iter(sets.values())), out, rows=ROWS) if sets else None
    if args.json:
        print(json.dumps({**facts, "sheet": str(sheet) if sheet else None}, indent=1, ensure_ascii=False))
    else:
        lines += [f"sheet        {sheet}"] if sheet else []
        for line in [*lines, *(f"problem      {sentence}" for sentence in against[:-1])]:
            say(line)
    if against:
        raise Refusal(against[-1])
    if not args.json:
        sides = (args.name, "UNLABELLED") if labelled else ("LABELLED", args.name)
        lies = where_data_lies(args.data_root)
        print_next("train", "adapt", "--source", sides[0], "--target", sides[1], *lies, "--out", "runs/mine")
    return 0


def description_lines(facts: Description) -> list[str]:
    """What `genshift data check` prints of a set, a line each."""
    told = {key: value for key, value in facts.items() if key not in ("files", "notes", "against")}
    return [
        *(f"{key:<12} {value}" for key, value in told.items() if value not in (None, [])),
        *(f"file         {line}" for line in facts.get("files", [])),
        *(f"note         {note}" for note in facts["notes"]),
    ]


def survey_lines(facts: Survey) -> list[str]:
    """What `genshift data check` prints of a folder, a line each."""
    lines = [
        f"name         {facts['name']}",
        f"pictures     {facts['pictures']:,}: {_counted(facts['kinds'])}",
        f"colours      {_counted(facts['colours'], '; ')}",
    ]
    if sizes := facts["sizes"]:
        smallest, commonest, largest = ("×".join(map(str, sizes[key])) for key in ("smallest", "commonest", "largest"))
        many = f"{sizes['different']:,} different, {smallest} the smallest, {largest} the largest, "
        often = f"{commonest} the commonest ({sizes['times']:,})"
        lines.append(f"sizes        {many + often if sizes['different'] > 1 else f'all {commonest}'}")
    for part, described in facts["parts"].items():
        title, labels = f"part {part}", described["labels"]
        of = "no labels" if labels is None else f"{len(labels):,} classes: {_counted(labels, names_first=True)}"
        channels, height, width = described["shape"][1:]
        looked_at = f"looked at as {'grey' if channels == 1 else 'colour'} {width}×{height}"
        mean, std = (" ".join(f"{value:.3f}" for value in described[key]) for key in ("mean", "std"))
        lines += [
            f"{title if len(facts['parts']) > 1 else 'holds':<12} {described['images']:,} pictures, {of}",
            f"pixels       {described['min']} to {described['max']}, {looked_at}; mean {mean}, deviation {std} of 1",
            f"fingerprint  {described['fingerprint']}",
        ]
    lines += [f"broken       {name}: {reason}" for name, reason in facts["broken"].items()]
    lines += [f"note         {note}" for note in notes_of(facts)]
    return lines


def notes_of(facts: Survey) -> list[str]:
    """What is unusual in a folder, each sentence once."""
    notes = [note for described in facts["parts"].values() for note in described["notes"]]
    if facts["copies"]:
        notes.append(f"{facts['copies']:,} pictures are copies of others, byte for byte.")
    if facts["under_two_labels"]:
        notes.append(f"{facts['under_two_labels']:,} pictures stand under two labels: one of them is wrong.")
    if facts["in_two_parts"]:
        notes.append(f"{facts['in_two_parts']:,} pictures are in two parts: what is trained on is not measured on.")
    return list(dict.fromkeys(notes))


def _counted(counts: Mapping[str, int], between: str = ", ", names_first: bool = False) -> str:
    """Counts with what they are of."""
    return between.join(f"{name} {n:,}" if names_first else f"{n:,} {name}" for name, n in counts.items()) or "none"


def build(parser: Parser, argv: Sequence[str]) -> int:
    """Builds MNIST-M from MNIST and a folder of photos: |photo patch - digit|, the same for the same seed."""
    parser.add_argument("name", help="mnistm")
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="photos, e.g. BSDS500's")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (the user's cache)")
    add_int(parser, "--seed", "which photo and place a digit gets (0)", 0)
    add_data_root(parser)
    args = parser.parse(argv)
    if args.name != "mnistm":
        raise Refusal(f"Only mnistm can be built, not '{args.name}': `genshift data build mnistm --photos DIR`.")
    root = existing_root(args)
    from genshift.data import build_mnistm

    built = build_mnistm(args.photos, args.out, root, args.seed)
    print(built)
    print_next("data", "check", built, file=sys.stderr)
    return 0


def pack(parser: Parser, argv: Sequence[str]) -> int:
    """Writes a set or folder as memory-mapped arrays, which open at once and may be larger than memory."""
    parser.add_argument("name", type=name_or_path)
    add_out(parser, "DIR", "folder for the arrays")
    parser.add_argument("--split", default="train", help="train or test (train)")
    add_int(parser, "--size", "side in pixels, for pictures of many sizes")
    parser.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be read")
    add_decoding(parser, "crop, white, 16 where that is clear, utf-8")
    add_data_root(parser)
    args = parser.parse(argv)
    root = existing_root(args)
    from genshift.data import load
    from genshift.data import pack as write
    from genshift.data.packed import check_place
    from genshift.data.room import in_files

    check_place(args.out)
    how = {"size": args.size, "skip_broken": args.skip_broken, **given_decoding(args)}
    with in_files():
        images = load(args.name, args.split, data_root=root, **how)
    say(f"{write(images, args.out)}: {len(images):,} images")
    print_next("data", "check", args.out)
    return 0


COMMANDS: dict[str, Callable[[Parser, Sequence[str]], int]] = {
    command.__name__: command for command in (ls, get, check, build, pack)
}
