"""The points of an arm's curve: `python -m beside.points JSON` prints them below a folder, relative to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from genshift.runs import checkpoint


def points_of(out: Path) -> list[tuple[Path, float]]:
    """The checkpoints of a curve, ours or a peer's, with the seconds of training that each had taken."""
    found = [*out.glob("point-*.safetensors"), *(out / "checkpoints").glob("images-*.safetensors")]
    timed = [(path, checkpoint.about(path)["seconds"]) for path in found]
    return sorted(timed, key=lambda one: one[1])


def main() -> None:
    """Prints one line of JSON."""
    out = Path(json.loads(sys.argv[1])["out"])
    print(json.dumps({"points": [(str(path.relative_to(out)), seconds) for path, seconds in points_of(out)]}))


if __name__ == "__main__":
    main()
