"""Files of run folders, of drawn pictures and of packed sets that lie, before the verbs that read them.

Each verb goes on (status 0) or refuses in one sentence (status 2): no traceback, no signal, no command without an end.
"""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import material
import numpy as np
import torch
from children import run
from material import RECONSTRUCT, SAMPLE, SELECT, SWEEP, TRAIN
from safetensors import safe_open
from safetensors.torch import save_file

LIMIT = 60.0
EVERY = ("ls", "compare", "compare all", "report", "clean", "evaluate", "train")
OWN = {
    "adapt": ("select", "predict", "embed"),
    "classifier": ("predict", "embed", "judge"),
    "diffusion": ("sample", "sweep"),
    "gan": ("sample",),
    "vae": ("sample", "reconstruct", "embed"),
}
# Of a file, the verbs that read it, where these are few.
READERS = {
    "sampling.json": ("sample", "sweep", "evaluate"),
    "sweep.json": ("sweep", "report", "sample"),
    "scores.json": ("select", "report", "ls"),
    "selection.json": ("predict", "evaluate", "select", "compare", "ls"),
    "scores.safetensors": ("select",),
    "prior.safetensors": ("sample", "evaluate"),
    "metrics.jsonl": ("train", "report", "ls", "evaluate"),
    "oracle.jsonl": ("train", "report", "ls"),
    "manifest.safetensors": ("train", "evaluate", "select", "sweep", "ls"),
}
BESIDE = {**{f"{argv[-1]}/sample.json": argv for argv in SAMPLE.values()}, "rebuilt/sample.json": RECONSTRUCT}
CHECK = ("data", "check", "packed", "--out", "sheet.png")


def command(verb: str, name: str) -> tuple[str, ...]:
    """The words of a verb on the run of a family, which stands in the folder of its name."""
    images = ("two", "--threads", "1", "--out")
    commands = {
        "ls": ("ls", "."),
        "compare": ("compare", name),
        "compare all": ("compare", ".", "--json"),
        "report": ("report", name, "--out", "page.html"),
        "clean": ("clean", name),
        "evaluate": ("evaluate", name, "--threads", "1"),
        "train": material.train(name),
        "select": SELECT,
        "predict": ("predict", name, *images, "labels.csv"),
        "embed": ("embed", name, *images, "features.npz"),
        "judge": ("evaluate", "gan", "--features", name, "--threads", "1"),
        "sweep": SWEEP,
        "reconstruct": RECONSTRUCT,
        "sample": (*SAMPLE.get(name, ()), "--seed", "1"),
    }
    argv = commands[verb]
    return (*argv[:-1], f"new-{argv[-1]}") if verb == "reconstruct" else argv if verb != "sample" else tuple(
        f"new-{word}" if word.startswith("drawn-") else word for word in argv
    )  # fmt: skip


# --- lies of JSON -----------------------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 0.5, -0.0, 1e300, -1e308, 2**31, 2**63, 10**30, -(10**30), math.nan, math.inf,
    "", "x", "0", "é", "a\nb", "\x1b[31m", "../../x", "/", "x" * 5_000, [], {}, [None], [[]], ["x"], [1, 2, 3],
    {"a": 1}, {"value": "x"}, [{}] * 3, [math.nan], "NaN", "cuda", "mps", 4, 16, 24, 10**6,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand within a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


def lie(value: Any, chance: random.Random) -> tuple[Any, str]:
    """The value with one place changed, and how."""
    changed = copy.deepcopy(value)
    everywhere = list(places(value))
    if not everywhere:
        return chance.choice(VALUES), "another value"
    # A depth first, for most places lie deep.
    depth = chance.choice(sorted({len(place) for place in everywhere}))
    *outer, key = chance.choice([place for place in everywhere if len(place) == depth])
    inner = changed
    for step in outer:
        inner = inner[step]
    where = ".".join(map(str, (*outer, key)))
    how = chance.choice(("gone", "value", "value", "value", "value", "renamed", "doubled", "negative", "swapped"))
    if how == "gone":
        del inner[key]
    elif how == "renamed" and isinstance(inner, dict):
        inner[f"{key}s"] = inner.pop(key)
    elif how == "doubled" and isinstance(inner[key], str | list):
        inner[key] = inner[key] * 2
    elif how == "negative" and isinstance(inner[key], int | float):
        inner[key] = -inner[key] - 1
    elif how == "swapped" and isinstance(inner, dict):
        other = chance.choice(list(inner))
        inner[key], inner[other] = inner[other], inner[key]
        where += f" with {other}"
    else:
        inner[key] = chance.choice(VALUES)
        how = repr(inner[key])[:60]
    return changed, f"{where}: {how}"


def torn(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    """The bytes of a file, damaged, and how."""
    at = chance.randrange(max(1, len(content)))
    noise = bytes(chance.randrange(256) for _ in range(8))
    ways: tuple[tuple[bytes, str], ...] = (
        (content[:at], f"cut at byte {at}"),
        (content[:at] + noise + content[at + 8 :], f"noise at byte {at}"),
        (content[:at] + bytes(8) + content[at + 8 :], f"zeros at byte {at}"),
        (content + content, "twice"),
        (b"", "empty"),
        (bytes(len(content)), "all zeros"),
        (b"\xff\xfe" + content, "a mark of UTF-16 before it"),
        (b"[" * 100_000, "100,000 brackets"),
        (b"9" * 6_000, "a number of 6,000 digits"),
        (b"null", "null"),
        (b"[]", "a list"),
        (b"{}", "an empty object"),
    )
    return chance.choice(ways)


def lying_text(path: Path, chance: random.Random) -> str:
    """Makes a JSON file lie; returns how."""
    content = path.read_bytes()
    if chance.random() < 0.2:
        damaged, how = torn(content, chance)
    elif path.suffix == ".jsonl":
        rows = content.decode().splitlines()
        number = chance.randrange(len(rows))
        row, how = lie(json.loads(rows[number]), chance)
        rows[number] = json.dumps(row)
        damaged, how = ("\n".join(rows) + "\n").encode(), f"row {number + 1} {how}"
    else:
        value, how = lie(json.loads(content), chance)
        damaged = json.dumps(value).encode()
    path.write_bytes(damaged)
    return how


# --- lies of checkpoints ----------------------------------------------------------------------------------------------

Tensors = dict[str, torch.Tensor]


def _fill(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda t: torch.full_like(t, value) if t.is_floating_point() else torch.full_like(t, -1)


TENSORS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "one number": lambda t: t.flatten()[:1].clone(),
    "no number": lambda t: t.flatten()[:0].clone(),
    "a scalar": lambda t: torch.zeros((), dtype=t.dtype),
    "cut in half": lambda t: t[: max(1, len(t) // 2)].clone() if t.ndim else t.reshape(1, 1),
    "flat": lambda t: t.flatten().clone() if t.ndim != 1 else t[None].clone(),
    "twice as long": lambda t: torch.cat([t.flatten(), t.flatten()]),
    "NaN": _fill(math.nan),
    "infinity": _fill(math.inf),
    "1e38": _fill(1e38),
    "zeros": torch.zeros_like,
    **{str(kind): lambda t, kind=kind: t.to(kind) for kind in (  # type: ignore[misc]
        torch.int64, torch.int8, torch.uint8, torch.bool, torch.float16, torch.bfloat16, torch.float64, torch.complex64,
    )},
}  # fmt: skip
STRANGE = ("network/x/y", "network/", "average/", "average/x", "optimizer/x/9999/exp_avg", "optimizer/", "é", "x", "/")


def lying_tensors(path: Path, chance: random.Random) -> str:
    """Makes a safetensors file lie; returns how."""
    if chance.random() < 0.2:
        damaged, how = torn(path.read_bytes(), chance)
        path.write_bytes(damaged)
        return how
    with safe_open(path, framework="pt") as file:
        tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = dict(file.metadata() or {})
    if "genshift" in header and chance.random() < 0.3:
        about, how = lie(json.loads(header["genshift"]), chance)
        header["genshift"], how = json.dumps(about), f"about {how}"
    elif chance.random() < 0.05:
        header, how = {}, "no description"
    elif chance.random() < 0.05:
        content = path.read_bytes()
        length = chance.choice((0, 1, 2**40, 2**63 - 1, len(content)))
        path.write_bytes(struct.pack("<Q", length) + content[8:])
        return f"a header of {length} bytes"
    else:
        # A kind of tensor first (network, average, optimizer), for these are of unlike numbers.
        kind = chance.choice(sorted({name.split("/")[0] for name in tensors}))
        name = chance.choice(sorted(name for name in tensors if name.split("/")[0] == kind))
        how = chance.choice((*TENSORS, "absent", "renamed", "all of its kind absent", "one more"))
        if how in TENSORS:
            tensors[name] = TENSORS[how](tensors[name]).contiguous()
        elif how == "absent":
            del tensors[name]
        elif how == "renamed":
            tensors[chance.choice(STRANGE)] = tensors.pop(name)
        elif how == "one more":
            tensors[chance.choice(STRANGE)] = tensors[name].clone()
        else:
            tensors = {other: t for other, t in tensors.items() if other.split("/")[0] != kind}
        how = f"{name}: {how}"
    path.unlink()
    save_file(tensors, path, metadata=header)
    return how


def lying_array(path: Path, chance: random.Random) -> str:
    """Makes a .npy file of a packed set lie; returns how."""
    if chance.random() < 0.4:
        damaged, how = torn(path.read_bytes(), chance)
        path.write_bytes(damaged)
        return how
    array = np.load(path)
    ways: dict[str, Callable[[], Any]] = {
        "int64": lambda: array.astype(np.int64),
        "float64 NaN": lambda: np.full(array.shape, np.nan),
        "one row": lambda: array[:1],
        "no row": lambda: array[:0],
        "flat": lambda: array.reshape(-1),
        "negative": lambda: -array.astype(np.int64) - 1,
        "huge": lambda: array.astype(np.int64) + 2**62,
        "text": lambda: array.astype("U3"),
        "Fortran": lambda: np.asfortranarray(array),
        "another end": lambda: array.astype(array.dtype.newbyteorder(">")),
    }
    how = chance.choice(sorted(ways))
    np.save(path, ways[how](), allow_pickle=False)
    return how


# --- the campaign -----------------------------------------------------------------------------------------------------


def lying(path: Path, chance: random.Random) -> str:
    """Makes a file lie, or puts something else in its place; returns how."""
    if chance.random() < 0.03:
        path.unlink()
        if chance.random() < 0.5:
            path.mkdir()
            return "a folder in its place"
        path.symlink_to(path.name)
        return "a link to itself in its place"
    if path.suffix == ".safetensors" and "-0000" in path.name and chance.random() < 0.05:
        number = chance.choice(("zzz", "1", "-1", f"{99:012}", f"{3:012}", "9" * 30))
        path.rename(path.with_name(f"{path.stem.split('-')[0]}-{number}.safetensors"))
        return f"named after {number}"
    ways = {".safetensors": lying_tensors, ".npy": lying_array}
    return ways.get(path.suffix, lying_text)(path, chance)


def targets(work: Path) -> list[tuple[str, tuple[str, ...]]]:
    """The files, each with the verbs of its run that read it; a kind of file stands once for each run."""
    found = []
    for name in TRAIN:
        verbs = (*EVERY, *OWN[name])
        for path in sorted((work / name).glob("*.*")):
            if path.suffix in (".json", ".jsonl", ".safetensors"):
                found.append((path, tuple(v for v in READERS.get(path.name, verbs) if v in verbs)))
        for kind in ("images", "images", "best", "candidate"):
            if paths := sorted((work / name / "checkpoints").glob(f"{kind}*")):
                found.append((paths[-1], verbs))
    others = [(work / place, ("beside",)) for place in BESIDE]
    others += [(path, ("packed",)) for path in sorted((work / "packed").iterdir())]
    return [(str(path.relative_to(work)), verbs) for path, verbs in [*found, *others, *others]]


def campaign(work: Path, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Tells `count` lies, each to two verbs; yields which, and what was wrong ('': nothing).

    Every third time the run is one that was stopped before its end.
    """
    origin, here = work / "origin", work / "here"
    material.pictures(origin)
    material.finished(origin)
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(origin, here)
    chance, files = random.Random(seed), targets(origin)
    kept = {path.name for path in origin.iterdir()}
    for number in range(count):
        place, verbs = files[number % len(files)]
        for path in [p.name for p in here.iterdir() if p.name not in kept and not p.name.startswith("child-")]:
            material.restored(origin, here, [path])
        name = place.split("/")[0]
        material.restored(origin, here, kept)
        if number % 3 == 2 and name in TRAIN and "candidate" not in place:
            newest = sorted((here / name / "checkpoints").glob("images-*"))
            if (here / place) not in newest:
                newest[-1].unlink()
        how = lying(here / place, chance)
        done = []
        for verb in sorted(chance.sample(verbs, min(2, len(verbs)))):
            argv = BESIDE[place] if verb == "beside" else CHECK if verb == "packed" else command(verb, name)
            ended = run(argv, here, LIMIT)
            wrong = ended.wrong((0,) if verb in ("ls", "compare all") else (0, 2))
            done.append(f"{verb} {'' if wrong else ended.status}".strip())
            if wrong:
                yield f"{kind_of(place)}; {place}: {how}; {' '.join(argv[:3])}", wrong
                break
        else:
            yield f"{kind_of(place)}; {place}: {how}; {', '.join(done)}", ""


def kind_of(place: str) -> str:
    """A file's name without its run and its numbers."""
    return Path(place).name.split("-0")[0].removesuffix(".safetensors")
