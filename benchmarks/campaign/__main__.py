"""A bounded campaign against genshift, on this machine alone: kills, lying files, bad values and races.

    python benchmarks/campaign kills lies values races --seed 0 --out found.json --work /tmp/campaign

Without names all four run, each to its full count; `--count N` bounds one that is named. It prints a table of what was
done and every violation, writes both as JSON, and leaves with status 1 where there is one. POSIX only: it forks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import children
import kills
import lies
import races
import values

PARTS = {"kills": (kills, 150), "lies": (lies, 500), "values": (values, 3_000), "races": (races, 20)}


def measure(name: str, work: Path, seed: int, count: int | None) -> dict[str, Any]:
    """One part of the campaign: counts by what was done, and the violations."""
    part, full = PARTS[name]
    begun, done, violations = time.monotonic(), [], []
    for what, wrong in part.campaign(work / name, seed, count or full):
        done.append(what)
        if wrong:
            violations.append({"what": what, "wrong": wrong})
            print(f"{name} {len(done)}: VIOLATION {what}\n    {wrong}", flush=True)
        elif len(done) % 50 == 0:
            print(f"{name}: {len(done)} done", file=sys.stderr, flush=True)
    rows = dict(sorted(Counter(what.split(";")[0] for what in done).items()))
    minutes = round((time.monotonic() - begun) / 60, 1)
    return {"count": len(done), "seed": seed, "minutes": minutes, "violations": violations, "table": rows}


def main() -> int:
    """Status 1 where a violation was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help=f"({', '.join(f'{n}: {part[1]}' for n, part in PARTS.items())})")
    parser.add_argument("--work", type=Path, default=Path("/tmp/campaign"), metavar="DIR", help="(/tmp/campaign)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="what was done and found, as JSON")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(unknown)}: expected {', '.join(PARTS)}")
    children.warm()
    found = {}
    for name in options.parts or PARTS:
        found[name] = measure(name, options.work.resolve(), options.seed, options.count)
        for row, times in found[name]["table"].items():
            print(f"{times:6}  {name}  {row}")
    for name, each in found.items():
        print(f"{name}: {each['count']:,} in {each['minutes']} minutes, {len(each['violations'])} violations")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 1 if any(each["violations"] for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
