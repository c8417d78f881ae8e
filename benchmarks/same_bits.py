"""Runs two checkouts of genshift on one machine, at tiny budgets, and tells every bit in which they differ.

    python benchmarks/same_bits.py BASE_CHECKOUT NEW_CHECKOUT --data-root DIR --work DIR
    python benchmarks/same_bits.py BASE NEW --data-root DIR --work DIR --reuse-base --presets faces-gan 'hw3-*'
    python benchmarks/same_bits.py BASE NEW --data-root DIR --work DIR --families --continued

A change that only moves code must leave the arithmetic as it is. For every preset of the base, and for variants that no
preset has, each checkout trains a few steps, evaluates, draws, predicts and chooses a checkpoint. Compared are all
tensors of every checkpoint, all logged and measured numbers, the pixels of all pictures, and the choice; the line of a
preset says `same`, or what differs. Status 1 where anything does. A preset that is refused is compared by the sentence.

Both use the interpreter that runs this script, the base first; each in one process with one thread. They read small
copies of the sets below --data-root, which the first call makes in --work. The base's answers are kept there too, and
--reuse-base takes them where nothing changed.

--continued: the base trains half, and the new checkout continues that run to the base's own bits; then the new checkout
opens the base's finished run, evaluates, reports and chooses as the base did.

--record NAME ... --why TEXT: writes the final weights of the runs in RECORDED, of this very checkout, into
tests/recorded_bits.json, which tests/test_same_bits.py holds every later checkout against.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import fnmatch
import hashlib
import importlib
import inspect
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
RECORD = HERE.parents[1] / "tests" / "recorded_bits.json"
FORMAT = 1  # of the base's kept answers: a new number forgets them all

# --- what is run ----------------------------------------------------------------------------------------------------

# One preset of each family and kind of method.
FAMILIES = (
    "demo-dann", "hw2-dann-mnistm-usps", "hw3-dann-usps-mnistm", "hw3-adda-usps-mnistm", "hw3-source-svhn-usps",
    "source-mnistm-usps", "dann-mcc-mnistm-usps", "cdan-mnistm-usps", "mean-teacher-mnistm-usps",
    "adamatch-im-mnistm-usps", "shot-mnistm-usps", "adapt", "digits-classifier", "faces-attributes", "hw3-vae",
    "faces-vae", "hw3-gan", "faces-gan", "hw2-diffusion", "digits-diffusion", "faces-diffusion",
)  # fmt: skip

# What no preset asks for, of options that compute otherwise. Rounding to bfloat16 can hide a change: some of each
# family run in float32, whatever a preset takes on this machine.
_FULL = {"precision": "float32"}
_SLOW = ("demo-dann", "adapt", "hw3-vae", "hw3-gan", "hw2-diffusion")
_OPEN = {"guide": "unconditional"}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{name}/float32": (name, _FULL) for name in FAMILIES if name not in _SLOW},
    "hw2-dann-mnistm-usps/adversary": ("hw2-dann-mnistm-usps", {"adversary": "reversal", "lam_schedule": "dann"}),
    "hw2-dann-mnistm-usps/best": ("hw2-dann-mnistm-usps", {"select": "best", "lr_schedule": "cosine", "flip": 0.5}),
    "source-mnistm-usps/sgd": ("source-mnistm-usps", {"optimizer": "sgd", "lr_schedule": "linear", "size": 32}),
    "source-mnistm-usps/muon": ("source-mnistm-usps", {"optimizer": "muon", "frame": "full", "recolour": 0.5}),
    "adamatch-im-mnistm-usps/source": ("adamatch-im-mnistm-usps", {"prior": "source", "alignment": 0.5, **_FULL}),
    "faces-attributes/best": ("faces-attributes", {"validation": 0.2, "select": "best", **_FULL}),
    "faces-gan/hinge": ("faces-gan", {
        "loss": "hinge", "spectral_norm": "on", "r1": 0.0, "r2": 0.0, "diffaugment": "color,translation,cutout",
        "critic_steps": 2, **_FULL,
    }),
    "faces-gan/wgan": ("faces-gan", {
        "loss": "wgan", "spectral_norm": "on", "gradient_penalty": 10.0, "r1": 0.0, "r2": 0.0, "penalty_every": 1,
        "first": "generator", **_FULL,
    }),
    "faces-gan/classes": ("faces-gan", {"data": "mnistm", "condition": "classes", "ema_half_life": 0}),
    "faces-vae/classes": ("faces-vae", {"data": "mnistm", "condition": "classes", "components": 2, "free_bits": 0.1}),
    "faces-vae/normal": ("faces-vae", {"prior": "normal", "kl_warmup": 16, "colour": "grey", **_FULL}),
    "digits-diffusion/min-snr": ("digits-diffusion", {
        "process": "cosine", "predict": "epsilon", "weighting": "min-snr", "dropout": 0.2, "sampler": "ddpm", **_OPEN,
    }),
    "digits-diffusion/edm": ("digits-diffusion", {
        "process": "edm", "predict": "edm", "sampler": "heun", "condition": "none", "patch": 4, **_OPEN,
    }),
    "digits-diffusion/x0": ("digits-diffusion", {
        "process": "linear", "predict": "x0", "sampler": "ddim", "eta": 0.5, "clip": "on", "spacing": "snr", **_OPEN,
    }),
}  # fmt: skip

# Ways to draw that are tried on one run each, beside its own.
DRAWN: dict[str, tuple[dict[str, Any], ...]] = {
    "digits-diffusion": (
        {"sampler": "ddim"}, {"sampler": "dpm++2m", "guide": "weak"}, {"sampler": "dpm++3m", "skip": 0.5},
        {"sampler": "heun", "guide": "unconditional"}, {"label": "none"}, {"label": "3", "names": "class"},
    ),
    "faces-diffusion": ({"sampler": "unipc", "spacing": "snr"}, {"sampler": "ddpm", "clip": "on"}),
    "faces-gan/classes": ({"label": "2"},),
}  # fmt: skip
# The classifiers in whose features generators are measured: the base's, for both. They run first.
JUDGES = {
    "faces-gan": "faces-attributes", "faces-vae": "faces-attributes", "digits-diffusion": "digits-classifier",
    "faces-gan/classes": "digits-classifier",
}  # fmt: skip

ADAPTING_STEPS, PICTURE_STEPS = 6, 4  # ADDA and SHOT have two phases to go through
# What fires seldom must fire within so few steps.
_SOON = {"teacher_half_life": 16, "ema_half_life": 32, "penalty_every": 2, "label_dropout": 0.3}


@dataclass(frozen=True)
class Case:
    """A run: a preset and all that is changed of it; `draws` are ways to draw beside its own, `judge` another case.

    The rest is what the base says of it: a new checkout need not name such things alike.
    """

    name: str
    preset: str
    changes: dict[str, Any]
    family: str
    adapts: bool
    shown: str  # the set whose test pictures it is shown
    draws: list[dict[str, Any]] = field(default_factory=list)
    judge: str = ""


def cases_of(described: Mapping[str, Mapping[str, Any]], own: Path) -> dict[str, Case]:
    """Every case, judges first; `described` is what the base says of its presets, `own` a user's two folders."""
    wanted: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in described}
    wanted |= {k: v for k, v in VARIANTS.items() if v[0] in described}
    found = {}
    for name, (preset, changes) in wanted.items():
        small = _small(described[preset], changes, own) | changes
        steps = ADAPTING_STEPS if "source" in described[preset]["options"] else PICTURE_STEPS
        small["images"] = steps * small[described[preset]["counts"]]
        options, facts = {**described[preset]["options"], **small}, described[preset]
        shown = options["target" if "target" in options else "data"]
        draws, judge = list(DRAWN.get(name, ())), JUDGES.get(name, "")
        found[name] = Case(name, preset, small, facts["family"], facts["adapts"], shown, draws, judge)
    first = {case.judge for case in found.values()}
    return {name: found[name] for name in sorted(found, key=lambda name: name not in first)}


def _small(preset: Mapping[str, Any], changes: Mapping[str, Any], own: Path) -> dict[str, Any]:
    """What makes a preset quick: small batches, narrow networks where they are ours, and few steps of a sampler."""
    options = {**preset["options"], **changes}
    ours = not preset["networks"].startswith("hw")
    small: dict[str, Any] = {key: value for key, value in _SOON.items() if options.get(key)}
    for key in ("batch_source", "batch_target"):
        if key in options:  # unequal ones stay unequal
            small[key] = min(24, max(8, options[key] // 4))
    if "batch" in options:
        small["batch"] = 8 if ours else 4
    if "width" in options and ours:
        small["width"] = 16
    if ours and options["size"] == 64:
        small["size"] = 32
    if preset["networks"] == "hw2-unet":
        small |= {"size": 16, "batch": 2}
    if "steps" in options:
        small["steps"] = 4 if ours else 2
    if "teacher_half_life" in options:  # a teacher of few steps is sure of nothing
        small["threshold"] = 0.15
    if options["lr_warmup"]:
        small["lr_warmup"] = 20
    if preset["options"].get("source") == "source/":
        small |= {"source": str(own / "source"), "target": str(own / "target")}
    return small


# --- the sets, cut short --------------------------------------------------------------------------------------------

TRAIN, TEST, FACES, OWN = CUT = 240, 80, 100, 60  # images of each that are kept


def cut_data(root: Path, out: Path) -> Path:
    """Small copies of the sets below `root`, in their own formats, and a user's two folders; made once.

    A set that is absent, or lies in another layout than `genshift data get` and `build` leave, stays absent.
    """
    done, made = out / "done.json", json.dumps([CUT, str(root.resolve())])
    if done.exists() and done.read_text("utf-8") == made:
        return out
    shutil.rmtree(out, ignore_errors=True)
    for cut in (_cut_usps, _cut_svhn, _cut_celeba, _cut_mnistm):
        try:
            cut(root, out)
        except FileNotFoundError as missing:
            print(f"note: no {missing.filename} here; its presets are compared by how they are refused.", flush=True)
    done.write_text(made, "utf-8")
    return out


def _cut_usps(root: Path, out: Path) -> None:
    for name, count in (("usps.bz2", TRAIN), ("usps.t.bz2", TEST)):
        lines = bz2.decompress((root / "usps" / name).read_bytes()).splitlines(keepends=True)
        _parent(out / "usps" / name).write_bytes(bz2.compress(b"".join(lines[:count])))


def _cut_svhn(root: Path, out: Path) -> None:
    from scipy.io import loadmat, savemat

    for name, count in (("train_32x32.mat", TRAIN), ("test_32x32.mat", TEST)):
        held = loadmat(str(root / "svhn" / name))
        savemat(str(_parent(out / "svhn" / name)), {"X": held["X"][..., :count], "y": held["y"][:count]})


def _cut_celeba(root: Path, out: Path) -> None:
    name, lists = "img_align_celeba.zip", "list_attr_celeba.txt"
    with zipfile.ZipFile(root / "celeba" / name) as whole, zipfile.ZipFile(_parent(out / "celeba" / name), "w") as part:
        for each in sorted(n for n in whole.namelist() if n.endswith(".jpg"))[:FACES]:
            part.writestr(each, whole.read(each))
    lines = (root / "celeba" / lists).read_text().splitlines(keepends=True)
    head = next(n for n, line in enumerate(lines) if line.split()[0].endswith(".jpg"))
    (out / "celeba" / lists).write_text("".join(lines[: head + FACES]))


def _cut_mnistm(root: Path, out: Path) -> None:
    from PIL import Image

    for split, count in (("train", TRAIN), ("test", TEST)):
        held, cut = root / "mnistm" / split, out / "mnistm" / split
        facts = json.loads((held / "set.json").read_text("utf-8"))
        arrays = {name: np.load(held / f"{name}.npy", mmap_mode="r")[:count] for name in ("images", "labels")}
        for name, array in arrays.items():
            np.save(_parent(cut / f"{name}.npy"), array)
        facts |= {"shape": list(arrays["images"].shape), "fingerprint": "cut"}
        (cut / "set.json").write_text(json.dumps(facts), "utf-8")
        role = "source" if split == "train" else "target"
        for number, (pixels, label) in enumerate(zip(*(a[:OWN] for a in arrays.values()), strict=True)):
            folder = out / "own" / role / (str(label) if role == "source" else "")
            Image.fromarray(pixels.transpose(1, 2, 0)).save(_parent(folder / f"{number:03}.png"))


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# --- in a checkout's own process ------------------------------------------------------------------------------------


def serve(work: Path) -> None:
    """Answers each line of JSON on standard input by one on standard output; what is printed goes to the log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import genshift

    tasks: dict[str, Callable[..., Any]] = {
        "where": lambda: str(genshift.__file__), "describe": describe, "options": options_of, "run": _run,
    }  # fmt: skip
    for line in sys.stdin:
        asked, begun = json.loads(line), time.process_time()
        task = tasks[asked.pop("task")]
        try:
            answer: dict[str, Any] = {"found": task(**asked)}
        except Exception as error:  # noqa: BLE001 — a refusal, or a fault, is what is compared
            answer = {"error": told(error, work)}
        # The processor's seconds: others may be at work on this machine.
        answer["seconds"] = round(time.process_time() - begun, 1)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def told(error: BaseException, folder: Path) -> str:
    """An error in words, without the folder in which it happened."""
    return f"{type(error).__name__}: {error}".replace(str(folder), "WORK")


def describe() -> dict[str, Any]:
    """What cases are made from: of every preset its family, networks, options, and which option counts its steps."""
    from genshift.presets import PRESETS

    found: dict[str, dict[str, Any]] = {}
    for name, preset in PRESETS.items():
        options = preset.options()
        batches = [key for key in ("batch", "batch_source", "batch_target") if key in options]
        learner = getattr(preset, "method", "") or getattr(preset, "role", "")  # called the role up to 0.1
        counts = "batch_target" if learner == "target" else batches[0]
        assert options[counts] == preset.step_images
        found[name] = {"options": options, "family": preset.family, "networks": preset.networks, "counts": counts}
        found[name]["adapts"] = preset.adapts
    return found


def options_of() -> dict[str, Any]:
    """The options of every preset, at the budgets that nothing here can afford."""
    from genshift.presets import PRESETS

    return {name: preset.options() for name, preset in PRESETS.items()}


def _run(case: Mapping[str, Any], mode: str, folder: str, data: str, judges: str, keep: str = "") -> dict[str, Any]:
    """One case in `folder`, and every digest of it.

    mode: "train" it from its start, or from where the folder stands; "half" trains half and measures nothing; "open"
    takes the run as it is, and measures and chooses anew. keep: where a copy of the trained run is left.
    """
    import genshift

    out, root = Path(folder), Path(data)
    preset = genshift.presets.get(case["preset"]).replaced(**case["changes"])
    options = {"seed": 0, "threads": 1, "data_root": root}
    found: dict[str, Any] = {}
    if mode == "half":
        with _stopped_at(preset.images // 2):
            _train(preset, out, **options)
        if _images(_numbered(out)[-1].name) >= preset.images:
            raise RuntimeError("the training went to its end, and was to be stopped half-way")
        return found
    if mode == "train":
        _train(preset, out, **options)
        if keep:
            shutil.copytree(out, keep)
    else:
        for name in ("results.json", "evaluation.json", "card.md"):
            (out / name).unlink(missing_ok=True)
        genshift.evaluate(out, data_root=root, draw=case["family"] != "adaptation")
        genshift.report([out], out.with_suffix(".html"))
        for name in ("scores.json", "scores.safetensors", "selection.json"):  # of the choice, which is made last
            (out / name).unlink(missing_ok=True)
    found |= trained(out)
    judge = Path(judges) / case["judge"].replace("/", "+") if case["judge"] else None
    for name, step in _steps(case, out, root, judge):
        try:
            found[name] = step()
        except Exception as error:  # noqa: BLE001 — see serve
            found[name] = told(error, out)
    return found


def _train(preset: Any, out: Path, **options: Any) -> None:
    """Trains and evaluates, by the public function."""
    import genshift

    genshift.train(preset, out, **options)


def train_alone(preset: Any, out: Path, **options: Any) -> None:
    """Trains and does not evaluate. Before `genshift.train` took `evaluate`, the engine's own function did that."""
    import genshift

    if "evaluate" in inspect.signature(genshift.train).parameters:
        genshift.train(preset, out, **{**options, "evaluate": False})
        return
    experiment = importlib.import_module("genshift.engine.experiment")
    experiment.train(preset, out, experiment.Settings(**options))


@contextlib.contextmanager
def _stopped_at(images: int) -> Iterator[None]:
    """Asks the training in this process to stop, as SIGTERM does, when it puts a checkpoint of so many images in its
    place: whatever its observers are called, a checkpoint is written aside and renamed."""
    armed = [True]

    def hear(event: str, words: tuple[Any, ...]) -> None:
        if event == "os.rename" and armed:
            name = Path(os.fsdecode(words[1])).name
            if name.startswith("images-") and name.endswith(".safetensors") and _images(name) >= images:
                armed.clear()  # a second signal would kill
                os.kill(os.getpid(), signal.SIGTERM)

    sys.addaudithook(hear)
    try:
        yield
    finally:
        armed.clear()


def _images(name: str) -> int:
    return int(name.split("-")[1].split(".")[0])


def _numbered(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("images-*.safetensors"))


# --- digests --------------------------------------------------------------------------------------------------------

CLOCK = ("seconds", "cpu_minutes", "images_per_second")  # in the names of what the clock says
WORDS = ("protocol", "warnings", "pictures", "snapshots", "why")  # texts, which may be reworded


def trained(run: Path) -> dict[str, Any]:
    """Digests of what a training and its evaluation left in the run folder."""
    last = _numbered(run)[-1]
    others = sorted(p for p in run.rglob("*.safetensors") if p not in _numbered(run) and p.name != "scores.safetensors")
    return {
        "config": _config(json.loads((run / "config.json").read_text("utf-8"))),
        "weights": tensors(last),
        "last": last.name,
        "others": {str(path.relative_to(run)): all_of(tensors(path)) for path in others},
        "log": {name: _rows(run / name) for name in ("metrics.jsonl", "oracle.jsonl")},
        "results": _plain(_json(run / "results.json")),
        "evaluation": _plain(_json(run / "evaluation.json")),
        "samples": {p.name: pixels(p) for p in sorted((run / "samples").glob("*.png"))},
    }


def _steps(
    case: Mapping[str, Any], run: Path, root: Path, judge: Path | None
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is asked of a trained run, by name; each may be refused by itself."""
    import genshift

    family, shown = case["family"], case["shown"]
    read: dict[str, Any] = {"split": "train" if Path(shown).is_dir() else "test", "data_root": root}
    if family in ("adaptation", "classifier"):
        yield "predicted", lambda: values(genshift.predict(run, shown, **read))
        yield "embedded", lambda: bytes_of(genshift.embed(run, shown, **read))
    if family == "vae":
        out = run.with_name(run.name + "-pairs")
        yield "embedded", lambda: bytes_of(genshift.embed(run, shown, **read))
        yield "reconstructed", lambda: values(genshift.reconstruct(run, shown, out, **read))
    if family not in ("adaptation", "classifier"):
        for number, how in enumerate(({}, *case["draws"])):
            words = ",".join(f"{key}={value}" for key, value in how.items())
            yield f"drawn {words}".strip(), _drawn(run, run.with_name(f"{run.name}-drawn-{number}"), how)
    if judge is not None:
        yield "judged", lambda: _plain(genshift.evaluate(run, data_root=root, draw=False, features=judge))
    if case["adapts"]:
        yield "choice", lambda: _chosen(run, root)


def _drawn(run: Path, out: Path, how: Mapping[str, Any]) -> Callable[[], list[str]]:
    import genshift

    return lambda: [pixels(path) for path in genshift.sample(run, 3, out, **how)]


def _chosen(run: Path, root: Path) -> dict[str, Any]:
    """The scores of a run's checkpoints, and the choice."""
    import genshift

    genshift.select([run], data_root=root)
    choice = _json(run / "selection.json")
    return {
        "scores": _plain(_json(run / "scores.json")),
        "said": tensors(run / "scores.safetensors"),
        **{key: choice[key] for key in ("checkpoint", "rule", "images", "estimate")},
    }


def tensors(path: Path) -> dict[str, str]:
    """The digest of every tensor of a checkpoint by name."""
    from safetensors.torch import load_file

    return {name: _tensor(value) for name, value in sorted(load_file(path).items())}


def _tensor(value: Any) -> str:
    import torch

    plain = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return _digest(f"{value.dtype} {tuple(value.shape)} ".encode() + plain)


def all_of(digests: Mapping[str, str]) -> str:
    """One digest of many."""
    return _digest(json.dumps(digests, sort_keys=True).encode())


def pixels(path: Path) -> str:
    """The digest of a picture's pixels, however its file is compressed."""
    from PIL import Image

    with Image.open(path) as image:
        return _digest(f"{image.mode} {image.size} ".encode() + image.tobytes())


def bytes_of(array: Any) -> str:
    """The digest of an array."""
    return _digest(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())


def values(rows: Any) -> str:
    """The digest of rows of texts and numbers, to the last bit."""
    return _digest(json.dumps(rows).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of config.json what a run's bits depend on or show, without the names of classes in the code."""
    sets = {role: {k: v for k, v in entry.items() if k != "notes"} for role, entry in config["data"].items()}
    kept = {key: config.get(key) for key in ("images", "classes", "precision", "gflop_per_image", "threads")}
    return {**kept, "data": sets, "parameters": sorted(config["parameters"].values())}


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def _rows(path: Path) -> list[Any]:
    return [_plain(json.loads(line)) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _plain(value: Any) -> Any:
    """JSON without what the clock says and without sentences; long lists as their digest."""
    if isinstance(value, dict):
        names = [name for name in value if name not in WORDS and not any(each in name for each in CLOCK)]
        return {name: _plain(value[name]) for name in names}
    if isinstance(value, list):
        return values(value) if len(value) > 20 else [_plain(each) for each in value]
    return value


# --- two checkouts --------------------------------------------------------------------------------------------------


class Checkout:
    """A checkout with its own process, which is started when it is first asked and again where it died."""

    def __init__(self, side: str, path: Path, work: Path) -> None:
        self.side, self.path, self.work = side, path.resolve(), work
        self.folder = work / side
        self.process: subprocess.Popen[str] | None = None

    def ask(self, **task: Any) -> dict[str, Any]:
        """The answer to one task: {"found": …} or {"error": …}."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return dict(json.loads(line))
        self.process = None
        return {"error": f"its process ended with status {process.wait()}: see {self.side}.log in the --work folder"}

    def _started(self) -> subprocess.Popen[str]:
        if self.process is not None:
            return self.process
        self.folder.mkdir(parents=True, exist_ok=True)
        env = {key: value for key, value in os.environ.items() if key not in ("GENSHIFT_DATA", "RANK", "WORLD_SIZE")}
        env |= {"PYTHONPATH": str(self.path / "src"), "OMP_NUM_THREADS": "1", "GENSHIFT_CACHE": str(self.work / "none")}
        with (self.work / f"{self.side}.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE), "--serve", str(self.folder)],
                env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        where = Path(self.ask(task="where")["found"]).resolve()
        if not where.is_relative_to(self.path):
            raise SystemExit(f"{self.path} was asked for and {where} answers: name a checkout with src/genshift.")
        return self.process

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()

    def run(self, case: Case, mode: str = "train", origin: Path | None = None, keep: bool = False) -> dict[str, Any]:
        """A case's digests, or its error; `origin` is a run to go on with.

        The run's folder is removed; `keep` leaves a copy of it, as it was trained.
        """
        name = case.name.replace("/", "+")
        place, kept = self.folder / mode / name, self.kept(case)
        for old in self.folder.glob(f"{mode}/{name}*"):
            if old.name == name or old.name.startswith(f"{name}-"):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        if origin is not None:
            shutil.copytree(origin, _parent(place))
        if keep:
            shutil.rmtree(kept, ignore_errors=True)
        answer = self.ask(
            task="run", case=asdict(case), mode=mode, folder=str(place), data=str(self.work / "data"),
            judges=str(self.work / "base" / "kept"), keep=str(kept) if keep else "",
        )  # fmt: skip
        if mode != "half":
            for old in [place, *place.parent.glob(f"{name}-*"), place.with_suffix(".html")]:
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        return answer

    def kept(self, case: Case) -> Path:
        """Where the copy of a case's trained run is kept."""
        return self.folder / "kept" / case.name.replace("/", "+")


# Sections in which the new checkout may say more: a further file, or field of one, is no other number.
OPEN = ("config", "others", "log", "results", "evaluation", "judged", "choice")


def difference(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs of two answers, section by section, each with its first place."""
    if "error" in base or "error" in new:
        if base.get("error") == new.get("error"):
            return []
        return [f"base: {base.get('error', 'runs')} | new: {new.get('error', 'runs')}"]
    said = []
    for section in dict.fromkeys([*base["found"], *new["found"]]):
        one, other = (dict(_leaves(side["found"].get(section, "absent"))) for side in (base, new))
        keys = one if section in OPEN else dict.fromkeys([*one, *other])
        apart = [key for key in keys if one.get(key, "absent") != other.get(key, "absent")]
        if apart:
            key = apart[0]
            values = f"{one.get(key, 'absent')} → {other.get(key, 'absent')}"
            said.append(f"{section}: {len(apart)} of {len(one)} differ, first {key or 'it'}: {values}")
    return said


def additions(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The fields of OPEN that only the new checkout writes, without the places in lists."""
    found = []
    for section in OPEN if "found" in base and "found" in new else ():
        one, other = (dict(_leaves(side["found"].get(section, "absent"))) for side in (base, new))
        words = (" ".join(word for word in key.split() if not word.isdigit()) for key in other if key not in one)
        found += [f"{section} {name}".strip() for name in words]
    return list(dict.fromkeys(found))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value by its path; of a list its length too."""
    if isinstance(value, list):
        yield f"{path} length".strip(), len(value)
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if pairs is None:
        yield path, value
        return
    for key, each in pairs:
        yield from _leaves(each, f"{path} {key}".strip())


class Answers:
    """The base's answers, kept in a file for later comparisons, with what they depend on."""

    def __init__(self, base: Checkout, reuse: bool) -> None:
        self.path, self.reuse = base.work / "base.json", reuse
        self.of = {"format": FORMAT, "machine": machine(), "torch": torch_version(), "source": source_of(base.path)}
        self.of["data"] = list(CUT)
        self.held: dict[str, Any] = _json(self.path) or {"of": None}
        if self.held["of"] != self.of:
            if reuse:
                print("note: no answers of this base on this machine are kept: it runs again.", flush=True)
            shutil.rmtree(base.folder, ignore_errors=True)
            self.held = {"of": self.of, "described": base.ask(task="describe")["found"], "cases": {}}

    @property
    def described(self) -> dict[str, Any]:
        """The base's presets."""
        return dict(self.held["described"])

    def of_case(self, case: Case) -> dict[str, Any] | None:
        """The kept answer to a case, if it is there and wanted."""
        held = self.held["cases"].get(case.name) if self.reuse else None
        return held["answer"] if held and held["case"] == asdict(case) else None

    def keep(self, case: Case, answer: dict[str, Any]) -> None:
        """Keeps an answer."""
        self.held["cases"][case.name] = {"case": asdict(case), "answer": answer}
        temporary = self.path.with_suffix(".part")
        temporary.write_text(json.dumps(self.held), "utf-8")
        temporary.replace(self.path)


def source_of(checkout: Path) -> str:
    """The digest of a checkout's package."""
    root = checkout / "src" / "genshift"
    return _digest(b"".join(str(p.relative_to(root)).encode() + p.read_bytes() for p in sorted(root.rglob("*.py"))))


def torch_version() -> str:
    """The version of torch, whose kernels change from one to the next."""
    import torch

    return str(torch.__version__)


def machine() -> str:
    """The class of this machine's processor, by which kernels are chosen: bits are the same within it alone."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    facts: dict[str, str] = {}
    if cpuinfo.exists():
        pairs = (line.split(":", 1) for line in cpuinfo.read_text(errors="replace").splitlines() if ":" in line)
        for key, value in pairs:
            facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or platform.processor() or platform.machine()
    number = "".join(f", {key} {facts[key]}" for key in ("cpu family", "model") if key in facts)
    return f"{name}{number}, {torch.backends.cpu.get_cpu_capability()}"


def compare(options: argparse.Namespace) -> int:
    """Compares two checkouts as the command line asks; the exit status."""
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    cut_data(options.data_root, work / "data")
    base, new = (Checkout(side, path, work) for side, path in zip(("base", "new"), options.checkouts, strict=True))
    try:
        return _compare(options, base, new)
    finally:
        base.close()
        new.close()


def _compare(options: argparse.Namespace, base: Checkout, new: Checkout) -> int:
    begun = time.monotonic()
    answers = Answers(base, options.reuse_base)
    every = cases_of(answers.described, base.work / "data" / "own")
    wanted = _wanted(every, options)
    judges = {case.judge for case in every.values()}
    wrong = _presets(answers.described, new)
    for case in wanted.values():
        keep = case.name in FAMILIES or case.name in judges
        told = answers.of_case(case)
        if told is None or (keep and not base.kept(case).exists() and "found" in told):
            told = base.run(case, keep=keep)
            answers.keep(case, told)
        if options.continued:
            wrong += _continued(case, told, base, new, options.reuse_base)
        else:
            now = new.run(case)
            wrong += _said(case.name, told, now, difference(told, now))
    seconds = time.monotonic() - begun
    verdict = "all the same" if not wrong else f"{len(wrong)} differ: {', '.join(wrong)}"
    print(f"{len(wanted)} cases in {seconds:.0f} s: {verdict}")
    return 1 if wrong else 0


def _presets(described: Mapping[str, Any], new: Checkout) -> list[str]:
    """Compares what the options of all presets are, which tiny runs change; new options are no difference."""
    answer = new.ask(task="options")
    theirs = answer.get("found", {})
    apart = [answer["error"]] if "error" in answer else []
    for name, facts in described.items():
        now = theirs.get(name, {})
        told = [f"{k} {v} → {now.get(k, 'absent')}" for k, v in facts["options"].items() if now.get(k, "absent") != v]
        apart += [f"{name}: {', '.join(told)}"] if told else []
    return _said("options of all presets", {}, answer, apart)


def _continued(case: Case, told: dict[str, Any], base: Checkout, new: Checkout, reuse: bool) -> list[str]:
    """The new checkout goes on with the base's run from half its way, and opens the finished one."""
    half = base.folder / "half" / case.name.replace("/", "+")
    stopped: dict[str, Any] = {}
    if not (reuse and half.exists()):
        stopped = base.run(case, "half")
    if "error" in stopped or "error" in told:
        return _said(case.name, told, stopped, [f"the base itself: {stopped.get('error', told.get('error'))}"])
    ends = new.run(case, origin=half)
    wrong = _said(f"{case.name}, continued", told, ends, difference(told, ends))
    opened = new.run(case, "open", origin=base.kept(case))
    return wrong + _said(f"{case.name}, opened", told, opened, difference(told, opened))


def _wanted(every: Mapping[str, Case], options: argparse.Namespace) -> dict[str, Case]:
    """The cases that the command line names, and the judges that these need."""
    patterns = options.presets or (list(FAMILIES) if options.families or options.continued else ["*"])
    chosen = {name for name in every if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    if lost := [p for p in options.presets or [] if not any(fnmatch.fnmatch(name, p) for name in every)]:
        raise SystemExit(f"No preset or variant is called {', '.join(lost)}.")
    chosen |= {every[name].judge for name in chosen} - {""}
    return {name: case for name, case in every.items() if name in chosen}


def _said(name: str, base: Mapping[str, Any], new: Mapping[str, Any], apart: list[str]) -> list[str]:
    refused = f" (both refuse: {base['error']})" if "error" in base and not apart else ""
    more = additions(base, new)
    note = f" (the new one also writes {', '.join(more)})" if more else ""
    verdict = ("; ".join(apart) if apart else "same" + refused) + note
    print(f"{name} [{base.get('seconds', 0)} s, {new.get('seconds', 0)} s]: {verdict}", flush=True)
    return [name] if apart else []


# --- recorded bits --------------------------------------------------------------------------------------------------

# Runs on the embedded sets, one of each kind of method and network, so small that a test can afford them.
# Without held-out images no checkpoint is scored, which would take most of the time.
_EMBEDDED = {
    "source": "uci", "target": "uci-m", "batch_source": 8, "batch_target": 12, "precision": "float32",
    "validation": 0.0, "select": "last",
}  # fmt: skip
# The demo's adversary as it was when it was recorded: hw2's.
_BY_TURNS = {"adversary": "alternating", "lam": 0.1, "lam_schedule": "constant", "statistics": "mixed", "lr": 3e-4}
_PICTURES = {"data": "uci-m", "batch": 8, "precision": "float32"}
_NARROW = {**_EMBEDDED, "width": 8, "lr_warmup": 16}
RECORDED: dict[str, dict[str, Any]] = {
    "demo-dann": {**_EMBEDDED, **_BY_TURNS},
    "hw3-dann-usps-mnistm": {**_EMBEDDED},
    "hw3-adda-usps-mnistm": {**_EMBEDDED},
    "cdan-mnistm-usps": {**_NARROW},
    "mean-teacher-mnistm-usps": {**_NARROW, "threshold": 0.15},
    "adamatch-im-mnistm-usps": {**_NARROW, "precision": "bfloat16"},
    "shot-mnistm-usps": {**_NARROW},
    "digits-classifier": {**_PICTURES, "width": 8, "lr_warmup": 16},
    "faces-vae": {**_PICTURES, "size": 16, "width": 8, "lr_warmup": 16},
    "faces-gan": {**_PICTURES, "size": 16, "width": 8, "penalty_every": 2},
    "digits-diffusion": {**_PICTURES, "size": 16, "width": 16, "lr_warmup": 16, "label_dropout": 0.3, "steps": 2},
}


def recorded_run(name: str, out: Path) -> dict[str, str]:
    """Trains the run of RECORDED into `out`; one digest each of its networks, optimizers and average."""
    import genshift

    preset = genshift.presets.get(name).replaced(**RECORDED[name])
    steps = ADAPTING_STEPS if preset.family == "adaptation" else PICTURE_STEPS
    train_alone(preset.replaced(images=steps * preset.step_images), out, seed=0, threads=1)
    found = tensors(_numbered(out)[-1])
    kinds = dict.fromkeys(key.split("/")[0] for key in found)
    return {kind: all_of({k: v for k, v in found.items() if k.startswith(f"{kind}/")}) for kind in kinds}


def record(names: list[str], why: str, folder: Path) -> int:
    """Writes the digests of the named runs into the record, and why; the others stay as they are."""
    sys.path.insert(0, str(HERE.parents[1] / "src"))
    if lost := [name for name in names if name not in RECORDED]:
        raise SystemExit(f"{', '.join(lost)} is not recorded: name some of {', '.join(RECORDED)}.")
    held = _json(RECORD) or {"machine": "", "torch": "", "reason": [], "bits": {}}
    here = {"machine": machine(), "torch": torch_version()}
    others = set(held["bits"]) - set(names)
    if others and any(held[key] != value for key, value in here.items()):
        raise SystemExit(
            f"The others were recorded on {held['machine']} with torch {held['torch']}, and this is another: name all."
        )
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        held["bits"][name] = recorded_run(name, folder / name)
        shutil.rmtree(folder / name)
    held |= here
    held["reason"].append({"presets": names, "why": why})
    held["bits"] = {name: held["bits"][name] for name in RECORDED if name in held["bits"]}
    RECORD.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{len(names)} recorded in {RECORD.relative_to(HERE.parents[1])}")
    return 0


def main() -> int:
    """Status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT", help="the base, and the new one")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="mnistm, usps, svhn and celeba")
    parser.add_argument("--work", type=Path, metavar="DIR", help="a folder for runs, small sets and kept answers")
    parser.add_argument("--presets", nargs="+", metavar="NAME", help="only these, patterns too; variants are PRESET/…")
    parser.add_argument("--families", action="store_true", help="only one preset of each family and method")
    parser.add_argument("--continued", action="store_true", help="go on with the base's runs, of each family one")
    parser.add_argument("--reuse-base", action="store_true", help="take the base's kept answers where nothing changed")
    parser.add_argument("--record", nargs="+", metavar="NAME", help="record anew these runs of this checkout")
    parser.add_argument("--why", help="why they changed")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    if not options.work:
        parser.error("give a folder: --work DIR")
    if options.record:
        if not options.why:
            parser.error("recorded bits change for a reason: --why TEXT")
        return record(options.record, options.why, options.work)
    if len(options.checkouts) != 2 or not options.data_root:
        parser.error("name two checkouts and --data-root DIR")
    return compare(options)


if __name__ == "__main__":
    sys.exit(main())
