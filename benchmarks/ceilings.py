"""What this machine can do at most, and what share of it each preset's training reaches, with where the rest goes.

    python benchmarks/ceilings.py --out runs/ceilings --write docs/speed.md

Ceilings: a matrix product and a 3×3 convolution in bfloat16 and float32, a memory copy; with one thread and with two. A
preset's share is the arithmetic of its step (forward, backward and what its optimizer multiplies), over its time, over
the product's ceiling in bfloat16 with as many threads. Every measurement is a fresh process; rounds alternate. Stopped
anywhere, the same command goes on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beside import table
from beside.measuring import BUSY, Bench, rounds, say

CEILINGS = (
    "matrix product, bfloat16",
    "matrix product, float32",
    "3×3 convolution, bfloat16",
    "3×3 convolution, float32",
    "memory copy",
)
PRODUCT, COPY = CEILINGS[0], CEILINGS[-1]
PRESETS = (
    "hw2-gan-a", "hw2-gan-b", "hw2-diffusion", "hw2-dann-mnistm-svhn", "hw3-vae", "hw3-gan", "hw3-dann-mnistm-svhn",
    "adapt", "digits-classifier", "digits-diffusion", "faces-attributes", "faces-vae", "faces-gan", "faces-diffusion",
)  # fmt: skip
TOLD = 5  # kinds of work of a preset that are named; the others are one
Found = dict[str, Any]


def main() -> None:
    """Measures what is missing, prints the tables, and writes them where that is asked for."""
    args = parsed()
    found = [found for threads in args.threads for found in measured(threads, args)]
    text = document(found, args)
    print(text)
    if args.write:
        table.write_between(args.write, "ceilings", text)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the measurements, which a later start goes on"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--quick", action="store_true", help="one round, one cycle of steps: does everything run?")
    parser.add_argument("--write", type=Path, help="the document whose tables are written anew")
    args = parser.parse_args()
    if args.quick and args.write:
        parser.error("--quick measures too little to be written down: leave it or --write out.")
    return args


def measured(threads: int, args: argparse.Namespace) -> list[Found]:
    """All measurements with so many threads."""
    bench = Bench(Path(sys.executable), args.out.absolute() / f"threads-{threads}", threads, say, "beside.limits")
    words = {"arm": "genshift", "seconds": 0.2 if args.quick else 3.0, "steps": 1 if args.quick else 8}
    names = {**dict.fromkeys(CEILINGS, "ceiling"), **dict.fromkeys(args.presets, "share")}
    jobs = [{"task": name, "measurement": kind, **words} for name, kind in names.items()]
    return [bench.measure(job, number) for number, job in rounds(1 if args.quick else args.rounds, jobs)]


def document(found: Sequence[Found], args: argparse.Namespace) -> str:
    """The tables with how they were measured."""
    busy = [row["busy"] for row in found if row.get("busy") is not None]
    lines = [
        f"Measured on {machine()}; medians of {1 if args.quick else args.rounds} rounds, ranges in brackets"
        + (f"; others kept {max(busy):.1f} cores busy at most." if busy else "."),
        ceilings_table(found, args.threads),
        shares_table(found, args.threads, args.presets),
        *(f"Not measured: {line}." for line in table.errors(found)),
    ]
    if busy and max(busy) > BUSY:
        lines.append("The machine was not quiet, so these are no figures to quote.")
    return "\n\n".join(lines)


def machine() -> str:
    """The machine's class in words."""
    from genshift import device

    return device.machine(device.choose_device("cpu"))


def ceilings_table(found: Sequence[Found], threads: Sequence[int]) -> str:
    """What each operation reached at most."""
    head = ("ceiling", "unit", *(f"{n} thread{'s' if n > 1 else ''}" for n in threads))
    rows = [
        (name, "GB/s" if name == COPY else "GFLOP/s", *(table.spread(of(found, name, n, "a_second")) for n in threads))
        for name in CEILINGS
    ]
    return table.markdown(head, rows)


def shares_table(found: Sequence[Found], threads: Sequence[int], presets: Sequence[str]) -> str:
    """Each preset's speed, share of the ceiling, and where its time goes."""
    head = ("preset", "where a step's time goes", "threads", "GFLOP a step", "seconds a step", "GFLOP/s", "share (%)")
    rows = []
    for name in presets:
        for n in threads:
            own = [row for row in found if (row["task"], row["threads"]) == (name, n) and "gflop_a_step" in row]
            if own:
                speeds = [row["gflop_a_step"] / row["seconds_a_step"] for row in own]
                most = statistics.median(of(found, PRODUCT, n, "a_second") or [float("nan")])
                seconds = [row["seconds_a_step"] for row in own]
                rows.append(
                    (
                        name,
                        where(own[0]["kinds"]),
                        str(n),
                        table.number(own[0]["gflop_a_step"]),
                        table.spread(seconds),
                        table.spread(speeds),
                        table.spread([100 * speed / most for speed in speeds]),
                    )
                )
    return table.markdown(head, rows)


def where(kinds: dict[str, float]) -> str:
    """The largest kinds of work in words, and all others as one."""
    largest = sorted(kinds.items(), key=lambda item: -item[1])
    words = [f"{kind} {share:.0%}" for kind, share in largest[:TOLD]]
    rest = sum(share for _, share in largest[TOLD:])
    return ", ".join([*words, *([f"others {rest:.0%}"] if rest else [])])


def of(found: Sequence[Found], name: str, threads: int, key: str) -> list[float]:
    """The values of a measure in the rounds with so many threads."""
    return [row[key] for row in found if (row["task"], row["threads"]) == (name, threads) and key in row]


if __name__ == "__main__":
    main()
