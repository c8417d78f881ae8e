"""The verbs of genshift as Python functions; the command line calls these."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from genshift import nets, presets, studies
from genshift.engine import evaluator
from genshift.engine.domains import open_set
from genshift.engine.experiment import Settings, open_method
from genshift.engine.files import write_text, write_whole
from genshift.engine.findings import Asked
from genshift.engine.run import RunFolder
from genshift.errors import Refusal
from genshift.presets import Adaptation, Generator, Preset
from genshift.studies import BudgetName
from genshift.studies.running import run_study


def train(
    preset: str | Preset,
    out: Path | str,
    *,
    images: int | None = None,
    data_root: Path | None = None,
    **settings: Any,
) -> bool:
    """Trains a preset (by name, or changed with `.replaced`) into `out`, or continues there; then evaluates it.

    images: the budget, instead of the preset's. settings: the fields of `genshift.engine.experiment.Settings` (seed,
    minutes, device, threads, …). Returns False where a signal stopped it early; the same call continues. Raises Refusal
    for wrong input.
    """
    chosen = presets.get(preset) if isinstance(preset, str) else preset
    if images is not None and settings.get("minutes") is not None:
        raise Refusal("images and minutes both name the budget: give one of them.")
    chosen = chosen if images is None else chosen.replaced(images=images)
    asked = Asked(data_root, draw=not isinstance(chosen, Adaptation))
    return evaluator.train_and_evaluate(chosen, Path(out), Settings(data_root=data_root, **settings), asked)


def evaluate(run: Path | str, *, data_root: Path | None = None, **asked: Any) -> dict[str, Any]:
    """Evaluates a run on its test splits; `asked` are the fields of `genshift.engine.findings.Asked`. Returns what
    results.json holds."""
    return evaluator.evaluate(Path(run), Asked(data_root, **asked))


def predict(
    run: Path | str,
    images: str | Path,
    out: Path | None = None,
    *,
    split: str = "train",
    data_root: Path | None = None,
    skip_broken: bool = False,
) -> list[tuple[str, str, float]]:
    """(image name, class, confidence) for each picture; written to `out` as CSV where given."""
    preset, method, classes = open_method(RunFolder(Path(run)))
    pictures, names = open_set(images, split, preset, data_root=data_root, labels=False, skip_broken=skip_broken)
    confidence, label = method.predict(pictures.images).max(1)
    rows = [(n, classes[k], c) for n, k, c in zip(names, label.tolist(), confidence.tolist(), strict=True)]
    if out is not None:
        write_text(out, _csv(rows))
    return rows


def _csv(rows: Iterable[tuple[str, str, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image_name", "label", "confidence"))
    writer.writerows((name, label, f"{confidence:.6f}") for name, label, confidence in rows)
    return text.getvalue()


def embed(
    run: Path | str,
    images: str | Path,
    out: Path | None = None,
    *,
    split: str = "train",
    data_root: Path | None = None,
    skip_broken: bool = False,
) -> np.ndarray:
    """Latent features float32 `[N, D]`; written to `out` (.npz: features, names) where given."""
    preset, method, _ = open_method(RunFolder(Path(run)))
    pictures, names = open_set(images, split, preset, data_root=data_root, labels=False, skip_broken=skip_broken)
    features = method.embed(pictures.images).numpy()
    if out is not None:
        write_whole(out, lambda path: _write_npz(path, features, names))
    return features


def _write_npz(path: Path, features: np.ndarray, names: list[str]) -> None:
    with path.open("wb") as file:
        np.savez(file, features=features, names=np.array(names))


def show(preset: str | Preset) -> dict[str, Any]:
    """What `genshift show` prints: options with their origins, networks as print(net) shows them, parameters, and
    GFLOP an image of the forward pass."""
    chosen = presets.get(preset) if isinstance(preset, str) else preset
    networks = nets.build(chosen, 0 if isinstance(chosen, Generator) else 10)
    described, gflop = {}, 0.0
    picture = torch.zeros(2, nets.channels(chosen), chosen.size, chosen.size)
    taken = {"generator": (2, getattr(chosen, "latent", 0)), "decoder": (2, getattr(chosen, "latent", 0))}
    for name, net in networks.items():
        net.eval()
        given = torch.zeros(taken[name]) if name in taken else picture
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            answer = net(given)
        if name == "extractor":
            taken |= {"predictor": tuple(answer.shape), "domain": tuple(answer.shape)}
        gflop += flops.get_total_flops() / 2 / 1e9
        described[net._get_name()] = {"printed": str(net), "parameters": sum(p.numel() for p in net.parameters())}
    origins = {**dict.fromkeys(chosen.options(), presets.OURS), **chosen.origins}
    options = {k: {"value": v, "origin": origins[k]} for k, v in chosen.options().items()}
    return {
        "name": chosen.name,
        "summary": chosen.summary,
        "task": chosen.task,
        "options": options,
        "published": dict(chosen.published),
        "networks": described,
        "gflop_per_image_forward": round(gflop, 6),
    }


def study(name: str, out: Path, budget: BudgetName = "cpu", **options: Any) -> Path | None:
    """Trains what is missing of a study, evaluates and writes OUT/page.html; see `studies.running.run_study`."""
    return run_study(studies.get(name), budget, out, **options)


def demo(out: Path, seeds: int = 1) -> Path | None:
    """The demo: source-only, DANN and trained-on-target on the embedded digits, with its page.

    One thread: batches this small gain a quarter from a second, and lose tenfold where another program wants the core.
    """
    return run_study(studies.get("demo"), "full", out, seeds=seeds, threads=1)
