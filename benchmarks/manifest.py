"""What it costs that a run remembers its data, on many small picture files: seconds and bytes beside reading them.

    python benchmarks/manifest.py --files 1000000 --work /tmp/many

Makes the files where they are not there yet (16×16 pixels, no two alike), reads them as a training does, and prints
what digests, the manifest's writing, its reading and the search for every picture in a renamed copy of the set take.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genshift.data import load_named
from genshift.data.files import open_files
from genshift.data.manifest import manifest_of
from genshift.runs.folder import MANIFEST, RunFolder
from genshift.runs.manifest import remembered, write_manifest
from genshift.training.domains import hold_out


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints the seconds that a block takes."""
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:8.2f} s  {what}", flush=True)


def make(folder: Path, count: int) -> None:
    """`count` PNG files of noise in ten class folders; each ends in bytes of its own, so that no two are alike."""
    drawn = np.random.default_rng(0)
    pictures = []
    for _ in range(64):
        file = io.BytesIO()
        Image.fromarray(drawn.integers(0, 256, (16, 16, 3), np.uint8)).save(file, "PNG")
        pictures.append(file.getvalue())
    for label in range(10):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / str(number % 10) / f"{number:07}.png"
        path.write_bytes(pictures[number % 64] + number.to_bytes(8, "big"))  # after a PNG's end nothing is read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, required=True, help="a folder for the files and the run")
    args = parser.parse_args()
    folder = args.work / "pictures"
    if not folder.is_dir():
        with timed(f"making {args.files:,} files"):
            make(folder, args.files)
    with timed("listing them"):
        files = open_files(folder)
    with timed("reading their bytes, nothing decoded"):
        contents = [files.read(name) for name in files.names]
    with timed(f"digests of {sum(map(len, contents)) / 2**20:,.0f} MiB"):
        for data in contents:
            hashlib.blake2b(data, digest_size=16).digest()
    del contents
    with timed("reading them as a training does: listed, read, digests taken, decoded"):
        images, names = load_named(folder, size=16)
    with timed("parting them by content, every class on both sides"):
        _, held_out = hold_out(images, 0.05)
    run = RunFolder(args.work / "run")
    with timed("making and writing the manifest"):
        known = manifest_of(str(folder), images, held_out, tuple(names))
        write_manifest(run, {"data": known})
    print(f"{(run.path / MANIFEST).stat().st_size / 2**20:8.1f} MiB  the manifest")
    with timed("reading it again"):
        manifest = remembered(run) or {}
    other = images.take(torch.randperm(len(images)))
    with timed("finding every picture in the same set, renamed"):
        rows = manifest["data"].rows_in(other)
    assert (rows >= 0).all()


if __name__ == "__main__":
    main()
