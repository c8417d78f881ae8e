"""Tiny domains, presets and trainings for the tests of nets, methods, engine and command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from data_files import png
from safetensors.torch import load_file, save_file

from genshift import presets
from genshift.cli import main
from genshift.data import ImageSet, pack
from genshift.device import Arithmetic
from genshift.evaluation import evaluate
from genshift.evaluation.options import EvaluationOptions
from genshift.nets.squeezenet import SqueezeNet
from genshift.presets import Adaptation, Pictures, Preset
from genshift.runs import files
from genshift.runs.folder import RunFolder
from genshift.temporary import temporary_name
from genshift.training import augmentation_trial, probe
from genshift.training import train as training
from genshift.training.train import Settings

HERE = Path(__file__).parent
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and shells as POSIX has them")
DIGITS = tuple(str(digit) for digit in range(10))
FLOAT32 = Arithmetic(torch.device("cpu"), "float32", "for a test")
FLOAT64 = Arithmetic(torch.device("cpu"), "float64", "for a test")
# Sampling of the tests' own, whatever a preset's is.
SAMPLED_PLAINLY = {"sampler": "dpm++2m", "guide": "unconditional", "guidance_from": 0.0, "guidance_to": 1.0}


def digits(count: int, seed: int, channels: int = 3, side: int = 28) -> ImageSet:
    """Noise with a bright bar whose place is the class, so that something can be learnt."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 100, (count, channels, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 10
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 2 * label : 2 * label + 6, 4 : side - 4] += 150 - 20 * (seed % 3)
    return ImageSet(f"digits-{seed}", images, labels, DIGITS)


def write_domain(folder: Path, seed: int, train: int = 40, test: int = 20, **options: Any) -> Path:
    """A packed set with the splits train and test."""
    pack(digits(train, seed, **options), folder / "train")
    pack(digits(test, seed + 100, **options), folder / "test")
    return folder


def faces(count: int, seed: int, side: int) -> ImageSet:
    """Noise whose brightness is the class (dark, light) and whose colours are the attributes (Red, Green, Blue)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 100, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    attributes = torch.randint(0, 2, (count, 3), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    images += (50 * labels[:, None] + 100 * attributes).to(torch.uint8)[:, :, None, None]
    return ImageSet(f"faces-{seed}", images, labels, ("dark", "light"), attributes, ("Red", "Green", "Blue"))


def write_faces(folder: Path, side: int, train: int = 24, test: int = 12) -> Path:
    """A packed set of `faces` with the splits train and test."""
    pack(faces(train, side, side), folder / "train")
    pack(faces(test, side + 1, side), folder / "test")
    return folder


def write_classes(folder: Path, seed: int, count: int = 20) -> Path:
    """Class folders 0 to 9 of PNG files."""
    drawn = digits(count, seed)
    for number, (image, label) in enumerate(zip(drawn.images, drawn.labels.tolist(), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / str(label) / f"{number:03}.png").write_bytes(png(image.permute(1, 2, 0).numpy()))
    return folder


def write_flat(folder: Path, seed: int, count: int = 20) -> Path:
    """PNG files without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(digits(count, seed).images):
        (folder / f"{number:03}.png").write_bytes(png(image.permute(1, 2, 0).numpy()))
    return folder


def write_squeezenet(path: Path, version: str = "squeezenet1_1") -> Path:
    """Random weights in the layout of the published ones, of a scale that signals pass (He et al. 2015)."""
    torch.manual_seed(3)
    net = SqueezeNet(version, 1000)
    for parameter in net.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    save_file(net.state_dict(), path)
    return path


def tiny(name: str, domains: tuple[Path, Path], **changes: Any) -> Adaptation:
    """A preset over two tiny domains, four images of each a step."""
    small = {"batch_source": 4, "batch_target": 4, "precision": "float32"}
    source, target = (str(path) for path in domains)
    return presets.get(name).replaced(**{**small, **changes}, source=source, target=target)


def of_pictures(name: str, folder: Path, **changes: Any) -> Pictures:
    """A preset over one tiny set, four pictures a step."""
    preset = presets.get(name)
    assert isinstance(preset, Pictures)
    return preset.replaced(**{"batch": 4, "precision": "float32", **changes}, data=str(folder))


def train(preset: Preset, out: Path, **settings: Any) -> bool:
    """The engine's own entry, with a budget of six steps unless it is given."""
    images = settings.pop("images", 6 * preset.step_images)
    return training.train(preset.replaced(images=images), out, Settings(**settings))


def train_and_evaluate(preset: Preset, out: Path, settings: Settings, options: EvaluationOptions) -> bool:
    """A training under its family's observers, and its evaluation; False where it was stopped."""
    run = RunFolder(out)
    finished = training.train(preset, out, evaluate.with_observers(run, preset, settings))
    if finished:
        evaluate.after_training(run, preset, settings, options)
    return finished


class StopAt:
    """An observer that asks for a stop, as one Ctrl-C does (or another signal), when `images` are seen."""

    def __init__(self, images: int, number: int = signal.SIGINT) -> None:
        self.images, self.number, self.asked = images, number, False

    def __call__(self, images: int, method: Any) -> None:
        if images >= self.images and not self.asked:
            self.asked = True  # a second one would kill
            signal.raise_signal(self.number)


def litter(path: Path, end: str = "part") -> Path:
    """What a process of this machine that was killed leaves of `path`."""
    name = temporary_name(path, end).name
    return path.with_name(name.replace(f"-{os.getpid()}.", "-999999999."))


PROBE = {"STEPS": probe.STEPS, "FlopCounterMode": probe.FlopCounterMode}


def shorten_the_probe(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Three steps, and no arithmetic counted in the last, which takes longer than a tiny training."""
    counter = SimpleNamespace(get_total_flops=lambda: 10**9)
    setattr_(probe, "STEPS", 3)
    setattr_(probe, "FlopCounterMode", lambda **_: nullcontext(counter))


def be_quick(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Checks twice a run instead of twenty times, short probe and trial, and no waiting for the disk."""
    setattr_(training, "CHECKS", 2)
    setattr_(augmentation_trial, "STEPS", 4)
    setattr_(files, "_sync", lambda path: None)
    shorten_the_probe(setattr_)


def last(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a run's newest checkpoint."""
    return load_file(sorted((run / "checkpoints").glob("images-*.safetensors"))[-1])


def best(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a run's best checkpoint."""
    return load_file(run / "checkpoints" / "best.safetensors")


def different(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """The names of tensors that are not bit-identical, or stand on one side alone."""
    alone = sorted(one.keys() ^ other.keys())
    return alone + [name for name in one.keys() & other.keys() if not torch.equal(one[name], other[name])]


def rows(run: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The rows of a run's .jsonl file."""
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def weights(run: Path) -> list[dict[str, Any]]:
    """What a run's metrics say, without what the clock says."""
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows(run)]


def told(capfd: Any, *argv: object) -> str:
    """What `genshift ARGV` prints; it must succeed."""
    capfd.readouterr()
    status = main.main([str(word) for word in argv])
    said = capfd.readouterr()
    assert status == 0, said.err
    return said.out


def refused(capfd: Any, *argv: object, last_line: bool = False) -> str:
    """The one sentence with which the command line refuses `argv`; it must leave with status 2.

    last_line: training had begun, and said so before.
    """
    capfd.readouterr()
    status = main.main([str(word) for word in argv])
    said = capfd.readouterr()
    return _one_sentence(status, said.err, last_line)


def environment() -> dict[str, str]:
    """This process's, with one thread a process."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*argv: object) -> subprocess.CompletedProcess[str]:
    """`genshift ARGV` as a process of its own."""
    return python("-m", "genshift", *argv)


def torchrun(*words: object) -> subprocess.CompletedProcess[str]:
    """`python WORDS` as two processes, which torchrun starts; they must succeed."""
    if sys.platform == "win32":
        pytest.skip("processes that share a batch are tested where torchrun has gloo over POSIX sockets")
    done = python("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *words)
    assert done.returncode == 0, done.stderr
    return done


def by_two_processes(root: Path, wanted: Mapping[str, Preset]) -> dict[str, Path]:
    """The run folder of each preset, below `root` under its own key: all trained by one start of two processes."""
    jobs = []
    for case, preset in wanted.items():
        own = presets.get(preset.name).options()
        changed = {key: value for key, value in preset.options().items() if value != own[key]}
        jobs.append([str(root / case), preset.name, changed])
    (root / "jobs.json").write_text(json.dumps(jobs))
    torchrun(HERE / "pairs.py", root / "jobs.json")
    return {case: root / case for case in wanted}


def refused_in_process(*argv: object, last_line: bool = False) -> str:
    """As `refused`, in a process of its own."""
    done = command(*argv)
    return _one_sentence(done.returncode, done.stderr, last_line)


def _one_sentence(status: int, err: str, last_line: bool = False) -> str:
    lines = err.strip().splitlines()
    assert status == 2, (status, err)
    assert lines[-1].startswith("genshift: ") and "Traceback" not in err, err
    assert last_line or len(lines) == 1, err
    return lines[-1]


def python(*words: object) -> subprocess.CompletedProcess[str]:
    """A Python process."""
    argv = [sys.executable, *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env=environment())
