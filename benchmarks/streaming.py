"""Training from packed shards that memory does not hold: is it held to its bound, and what does that cost?

    python benchmarks/streaming.py --out /tmp/streaming --mib 300 --times 10

Writes a packed set of noise, `--times` as large as `--mib`, once. Each preset is trained on it twice, for as many
images: in memory (the system keeps the file's pages where there is room), and in a memory group of version 1 that
leaves the process `--mib` beside what PyTorch takes. The last line printed is JSON: images a second of both, their
ratio, and the peak of memory that is the process's own (RssAnon). Where no group can be made, that alone is held
against the bound. It also prints what share of packing a folder is decoding.
Linux only; a few minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genshift.data import ImageSet, pack

SIDE, CLASSES = 64, 10
PRESETS = ("faces-vae", "digits-classifier", "adapt")
GROUP = Path("/sys/fs/cgroup/memory")
MIB = 2**20
OWN_MIB = 900  # Python, PyTorch and a step, beside the set: seen as the peak on a small one


def write_set(folder: Path, count: int) -> Path:
    """A packed set of noise with classes, its arrays written piece by piece; as `pack` leaves it otherwise."""
    if (folder / "set.json").exists():
        return folder
    few = torch.randint(0, 256, (CLASSES, 3, SIDE, SIDE), dtype=torch.uint8)
    pack(ImageSet("noise", few, torch.arange(CLASSES), tuple(map(str, range(CLASSES)))), folder)
    facts = json.loads((folder / "set.json").read_text())
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, 3, SIDE, SIDE))
    chance = np.random.default_rng(0)
    for start in range(0, count, 1000):
        piece = images[start : start + 1000]
        piece[:] = chance.integers(0, 256, piece.shape, np.uint8)
    images.flush()
    np.save(folder / "labels.npy", np.arange(count) % CLASSES)
    (folder / "set.json").write_text(json.dumps({**facts, "shape": [count, 3, SIDE, SIDE]}))
    return folder


@contextlib.contextmanager
def memory_group(mib: int):
    """A memory group with this limit, or None where none can be made here."""
    group = GROUP / f"genshift-streaming-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(mib * MIB))
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


def trained(words: list[str], group: Path | None) -> dict[str, Any]:
    """Trains with these words; how fast by metrics.jsonl, and the peak of RssAnon in MiB."""

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    argv = [sys.executable, "-m", "genshift", "train", *words]
    with Path(f"{words[-1]}.log").open("w") as log:
        process = subprocess.Popen(argv, preexec_fn=enter, stdout=log, stderr=log)
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak = max(peak, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024)
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"a training failed: {words[-1]}.log says why")
    rows = [json.loads(line) for line in (Path(words[-1]) / "metrics.jsonl").read_text().splitlines()]
    timed = [row for row in rows if "seconds" in row]
    first, last = timed[len(timed) // 4], timed[-1]
    speed = (last["images"] - first["images"]) / max(1e-9, last["seconds"] - first["seconds"])
    return {"images_per_second": round(speed, 1), "peak_anonymous_mib": peak}


def words_of(preset: str, data: Path, images: int, out: Path) -> list[str]:
    places = ["--source", str(data), "--target", str(data)] if preset == "adapt" else ["--data", str(data)]
    size = ["--size", str(SIDE)]
    return [preset, *places, *size, "--images", str(images), "--threads", "1", "--no-evaluate", "--out", str(out)]


def decoding_share(count: int = 500) -> float:
    """Of the time that `data pack` takes for JPEGs, what decoding them alone takes."""
    from PIL import Image

    from genshift.data import load
    from genshift.data.pixels import decode

    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (96, 96, 3), np.uint8)
            Image.fromarray(pixels).resize((192, 192)).save(Path(folder) / f"{number}.jpg")
        files = [path.read_bytes() for path in Path(folder).iterdir()]
        begun = time.process_time()
        load(folder, size=SIDE)
        whole = time.process_time() - begun
        begun = time.process_time()
        for data in files:
            decode(data, SIDE)
        return (time.process_time() - begun) / whole


def main() -> int:
    """Prints a line a training and one of JSON; status 1 where one failed or outgrew its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for the set and the runs")
    parser.add_argument("--mib", type=int, default=300, help="memory allowed for the set (300)")
    parser.add_argument("--times", type=int, default=10, help="how many times as large the set is (10)")
    parser.add_argument("--images", type=int, default=6_400, help="images of each training (6400)")
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    options = parser.parse_args()
    data = write_set(options.out / "set", options.mib * options.times * MIB // (3 * SIDE * SIDE))
    found: dict[str, Any] = {"decoding_share_of_packing": round(decoding_share(), 2)}
    bad = False
    for preset in options.presets:
        run = options.out / f"{preset}-{os.getpid()}"
        free = trained(words_of(preset, data, options.images, Path(f"{run}-free")), None)
        bound = free["peak_anonymous_mib"] + options.mib  # Python, PyTorch and a step, beside the set
        with memory_group(bound) as group:
            held = trained(words_of(preset, data, options.images, Path(f"{run}-held")), group)
        ratio = held["images_per_second"] / max(1e-9, free["images_per_second"])
        found[preset] = {
            "in_memory": free,
            "held": held,
            "ratio": round(ratio, 2),
            "bound_mib": bound,
            "group": group is not None,
        }
        print(preset, found[preset], flush=True)
        bad |= held["peak_anonymous_mib"] > bound
    print(json.dumps(found))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
