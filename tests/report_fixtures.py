"""Fabricated run folders, laid out as the engine writes them, with figures that look like a real study's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

NETWORK = """Sequential(
  (0): Conv2d(1, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
  (2): ReLU()
  (3): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
)"""
ORIGINS = {
    "lr": "published",
    "lam": "cited source: ML2021 HW11",
    "batch_target": "ours",
    "batch_source": "published",
    "images": "published",
}
PUBLISHED = {
    ("hw2", "mnistm→svhn"): {"source": 0.3366, "dann": 0.4874, "target": 0.9046},
    ("hw2", "mnistm→usps"): {"source": 0.8743, "dann": 0.9368, "target": 0.9783},
}


def write_run(
    root: Path, study: str, task: str, role: str, seed: int, accuracy: float, /, n: int = 1000, **preset: Any
) -> Path:
    """One evaluated run below `root`; returns its folder. `preset` overrides parts of the preset."""
    folder = root / f"{study}-{role}-{task.replace('→', '-')}-{seed}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, len(role), n])
    write_json(folder / "config.json", config(study, task, role, seed))
    if preset:
        patch_json(folder / "config.json", lambda c: c["preset"].update(preset))
    write_lines(folder / "metrics.jsonl", curves(rng, role))
    write_lines(folder / "oracle.jsonl", oracle(rng, accuracy))
    write_json(folder / "results.json", results(accuracy, n))
    write_json(folder / "evaluation.json", evaluation(rng, accuracy, role, n))
    return folder


def write_study(root: Path, seeds: int = 3) -> list[Path]:
    """hw2's two tasks in three roles."""
    folders = []
    for (study, task), published in PUBLISHED.items():
        for role, value in published.items():
            for seed in range(seeds):
                shift = {"source": -0.01, "dann": 0.03, "target": -0.02}[role] + 0.004 * seed
                n = 1000 if "svhn" in task else 2007
                folder = write_run(root, study, task, role, seed, value + shift, n=n)
                patch_json(
                    folder / "config.json",
                    lambda c, v=value: c["preset"].update(published={"target_accuracy": v}),
                )
                folders.append(folder)
    return folders


def config(study: str, task: str, role: str, seed: int) -> dict[str, Any]:
    source, target = task.split("→")
    fields = {
        "lr": 3e-4,
        "batch_target": 64,
        "batch_source": 64,
        "images": 600_000,
        "seed": seed,
    }
    if role not in ("source", "target"):
        fields["lam"] = 0.1
    return {
        "genshift": "0.1.0",
        "preset": {
            "name": f"{study}-{role}-{source}-{target}", "study": study, "task": task, "role": role,
            "summary": "A fabricated run.", "fields": fields, "origins": ORIGINS, "published": {},
        },
        "seed": seed, "images": 600_000, "classes": list("0123456789"),
        "precision": "bfloat16", "precision_reason": "the CPU has AMX tiles",
        "device": "cpu", "machine": "2-core x86 test machine", "threads": 2, "world": 1,
        "command": f"genshift train {study}-{role}-{source}-{target} --seed {seed} --out runs/{role}-{seed}",
        "data": {
            "source": {"name": f"{source}:train", "n": 60_000, "fingerprint": "sha256:0a1b2c3d4e5f"},
            "target": {"name": f"{target}:train", "n": 6_000, "fingerprint": "sha256:5f4e3d2c1b0a"},
        },
        "networks": {"FeatureExtractor": NETWORK, "LabelPredictor": "Linear(512, 10)"},
        "parameters": {"FeatureExtractor": 4_300_000, "LabelPredictor": 5_130},
        "environment": {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6"},
    }  # fmt: skip


def curves(rng: np.random.Generator, role: str, count: int = 60) -> list[dict[str, Any]]:
    rows = []
    for step in range(1, count + 1):
        t = step / count
        row = {"images": 10_000 * step, "seconds": 2.0 * step, "cpu_seconds": 4.0 * step}
        row["train/accuracy"] = 1 - 0.6 * np.exp(-5 * t) - 0.03 * rng.random()
        row["train/loss_label"] = 2.3 * np.exp(-4 * t) + 0.05 * rng.random()
        if role not in ("source", "target"):
            row["train/loss_domain"] = 0.69 - 0.1 * np.exp(-5 * t) + 0.02 * rng.normal()
            row["train/domain_accuracy"] = 0.55 + 0.3 * np.exp(-3 * t) + 0.02 * rng.normal()
        if step % 5 == 0:
            row["valid/source_accuracy"] = 0.98 - 0.5 * np.exp(-6 * t)
        rows.append(row)
    return rows


def oracle(rng: np.random.Generator, accuracy: float) -> list[dict[str, Any]]:
    return [
        {
            "images": 60_000 * s,
            "target_accuracy": accuracy - 0.2 * np.exp(-0.7 * s) + 0.01 * rng.normal(),
            "n": 1000,
        }
        for s in range(1, 11)
    ]


def results(accuracy: float, n: int) -> dict[str, Any]:
    def entry(value: float, protocol: str) -> dict[str, Any]:
        return {"value": value, "std": None, "n": n, "protocol": protocol}

    return {
        "oracle/target_test_accuracy": entry(accuracy, "target test split"),
        "source_test_accuracy": entry(0.981, "source test split"),
        "domain_accuracy": entry(0.61, "both test splits"),
        "cpu_minutes": entry(4.2, "process time") | {"n": 600_000},
    }


def evaluation(rng: np.random.Generator, accuracy: float, role: str, n: int, points: int = 1000) -> dict[str, Any]:
    classes = [str(digit) for digit in range(10)]
    counts = [[0] * 10 for _ in classes]
    for true, missed, guess in zip(rng.integers(0, 10, n), rng.random(n), rng.integers(0, 10, n), strict=True):
        counts[true][true if missed < accuracy else guess] += 1
    sample = np.random.default_rng(5)  # the same images whatever the run
    labels, domains = sample.integers(0, 10, points), np.arange(points) % 2
    angle = 2 * np.pi * labels / 10 + (1.2 if role == "source" else 0.25) * domains
    apart = rng.normal(size=(points, 2)) * (5 + 6 * domains[:, None] * (role == "source"))
    plane = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 40 + apart
    return {
        "classes": classes,
        "confusion": counts,
        "tsne": {
            "x": plane[:, 0].tolist(), "y": plane[:, 1].tolist(), "label": labels.tolist(),
            "domain": domains.tolist(), "split": "both test splits", "n": points,
        },
        "warnings": [],
    }  # fmt: skip


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def patch_json(path: Path, change: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write_json(path, content)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
