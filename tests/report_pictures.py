"""Fabricated run folders of generators and classifiers, with real small pictures, as the engine writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from report_fixtures import NETWORK, patch_json, write_json, write_lines

SIDE, GAP = 16, 2
PROTOCOLS = {
    "frechet": "squared Fréchet distance in the 256 features of faces-attributes, seed 0; 3 series of 2,250 samples",
    "precision": "share of samples among the real pictures (3 nearest neighbours); 3 series of 2,250 samples",
    "recall": "share of real pictures among the samples (3 nearest neighbours); 3 series of 2,250 samples",
    "face_rate": "share of 1,000 samples in which dlib's HOG detector finds a face",
    "sharpness": "variance of the Laplacian of luma, pixels in [0, 1]",
    "nearest_train": "median distance over that of 500 held-out real pictures",
    "reconstruction_mse": "mean squared error, pixels in [0, 1]; celeba, 500 held-out pictures at 64 px",
    "psnr": "decibels; celeba, 500 held-out pictures at 64 px",
    "ssim": "11×11 windows; celeba, 500 held-out pictures at 64 px",
    "evaluations_per_image": "pictures that pass through the network for each one drawn; dpm++2m in 20 steps, guidance "
    "1.5 away from the model without a label for t in (0, 1]",
    "attribute_accuracy": "mean of 40 attributes; celeba, test images, 500 at 64 px; std is the standard error",
}
FLOORS = {
    "frechet": 0.8, "precision": 0.81, "recall": 0.8, "face_rate": 0.95, "sharpness": 0.02, "nearest_train": 1.0,
    "attribute_accuracy": 0.8129, "class_accuracy": 0.994,
}  # fmt: skip
GAN_VALUES = {
    "frechet": 24.0, "precision": 0.6, "recall": 0.4, "face_rate": 0.85, "sharpness": 0.017, "nearest_train": 1.1
}  # fmt: skip
DIFFUSION_VALUES = {
    "class_accuracy": 0.991, "frechet": 6.0, "precision": 0.7, "recall": 0.6, "nearest_train": 1.1,
    "evaluations_per_image": 40.0, "seconds_per_image": 0.031, "gflop_per_image": 152.2,
}  # fmt: skip
UNDER = [f"{1_000 - k:,} steps\nt = {k / 1_000:g}\nk = {k:,}" for k in (1_000, 999, 600, 400, 200, 0)]
VAE_VALUES = {"frechet": 55.0, "reconstruction_mse": 0.0141, "psnr": 18.9, "ssim": 0.61, "sharpness": 0.002}
FIELDS = {
    "gan": {
        "images": 64_000, "data": "celeba", "batch": 64, "size": 64, "loss": "bce", "spectral_norm": "off",
        "gradient_penalty": 0.0, "lr": 1e-4,
    },
    "vae": {"images": 64_000, "data": "celeba", "batch": 32, "size": 64, "likelihood": "mse", "lr": 1e-4},
    "classifier": {"images": 64_000, "data": "celeba", "batch": 64, "size": 64, "answers": "attributes"},
    "diffusion": {
        "sampler": "dpm++2m", "steps": 20, "guidance": 1.5, "images": 64_000, "data": "mnistm", "batch": 32, "size": 28,
        "process": "flow", "predict": "v",
    },
}  # fmt: skip
NETWORKS = {
    "gan": {"Generator": NETWORK, "Discriminator": NETWORK},
    "vae": {"Encoder": NETWORK, "Decoder": NETWORK},
    "diffusion": {"UNet": NETWORK},
    "classifier": {"ResidualExtractor": NETWORK, "Linear": "Linear(in_features=256, out_features=40, bias=True)"},
}


def write_gan(
    root: Path, name: str = "hw2-gan-a", seed: int = 0, values: dict[str, float] | None = None, **options: Any
) -> Path:
    """An evaluated GAN below `root`; `options` are given on the command line, `values` replace measures."""
    folder = _folder(root, name, "gan", seed, options)
    write_json(folder / "results.json", results({**GAN_VALUES, **(values or {})}))
    write_lines(folder / "metrics.jsonl", gan_curves(seed))
    pictures = [
        entry(folder, "grid", 8, 32, "Samples", "32 samples, seed 0, not chosen."),
        entry(folder, "interpolation", 8, 32, "Interpolation", "Each row: 8 steps between two samples."),
        entry(folder, "neighbours", 8, 32, "Nearest training pictures", "In groups of 4: a sample, then the nearest."),
    ]
    write_json(folder / "evaluation.json", evaluation(pictures, snapshots(folder)))
    return folder


def write_vae(root: Path, name: str = "hw3-vae", seed: int = 0, **options: Any) -> Path:
    """An evaluated VAE, with a reconstruction panel and three stages of its latent space."""
    folder = _folder(root, name, "vae", seed, options)
    patch_json(folder / "config.json", lambda c: c["preset"].update(published={"reconstruction_mse": 0.0132}))
    write_json(folder / "results.json", results(VAE_VALUES))
    write_lines(folder / "metrics.jsonl", vae_curves())
    pictures = [
        entry(folder, "grid", 8, 32, "Samples", "32 samples, seed 0, not chosen."),
        entry(folder, "arithmetic", 8, 32, "Attribute arithmetic", "Rows: Male, Smiling."),
        entry(folder, "reconstructions", 10, 20, "Reconstructions", "Above: held-out pictures; below: theirs."),
    ]
    stages = {"attribute": "Male", "stages": [stage(images) for images in (6_400, 32_000, 64_000)]}
    panel = {"panel_mse": [0.008 + 0.001 * k for k in range(10)]}
    write_json(folder / "evaluation.json", evaluation(pictures, snapshots(folder)) | panel | stages)
    return folder


def write_diffusion(
    root: Path, name: str = "digits-diffusion", seed: int = 0, values: dict[str, float] | None = None, **options: Any
) -> Path:
    """An evaluated diffusion model of digits, with its reverse process, as a strip and moving."""
    folder = _folder(root, name, "diffusion", seed, options)
    patch_json(folder / "config.json", lambda c: c["preset"].update(task="mnistm"))
    write_json(folder / "results.json", results({**DIFFUSION_VALUES, **(values or {})}))
    write_lines(folder / "metrics.jsonl", denoising_curves())
    pictures = [
        entry(folder, "grid", 8, 32, "Samples", "32 samples, seed 0, not chosen."),
        entry(folder, "classes", 10, 100, "Class by class", "The first 10 samples of each class; rows: 0 to 9."),
        {**entry(folder, "reverse", 6, 12, "The reverse process", "After so many steps."), "under": UNDER},
        film(folder),
    ]
    rows = [class_row(str(digit)) for digit in range(10)]
    write_json(folder / "evaluation.json", evaluation(pictures, snapshots(folder)) | {"by_class": rows})
    return folder


def class_row(name: str) -> dict[str, Any]:
    share = 0.98 + int(name) / 1_000
    return {
        "class": name, "n": 100, "accuracy": share, "real_accuracy": 0.995, "frechet": 30.0 + int(name), "floor": 21.5
    }  # fmt: skip


def film(folder: Path) -> dict[str, str]:
    """A WebP picture of three frames."""
    first, *others = (Image.new("RGB", (92, 20), (80 * k, 60, 90)) for k in range(3))
    first.save(folder / "samples" / "reverse.webp", save_all=True, append_images=others, duration=100, loop=0)
    return {"file": "samples/reverse.webp", "title": "The reverse process, moving", "caption": "Ten pictures."}


def denoising_curves(count: int = 40) -> list[dict[str, Any]]:
    rows = []
    for step in range(1, count + 1):
        loss = 0.2 + 0.8 * np.exp(-step / 5)
        row = {"images": 1_600 * step, "seconds": 2.0 * step, "cpu_seconds": 4.0 * step}
        rows.append(row | {"train/loss": loss, "train/loss_image": loss / 4})
    return rows


def write_sweep(folder: Path, finished: bool = True, told: bool = True) -> dict[str, Any]:
    """sweep.json as `genshift sweep` writes it: guidance 2 is best, then t in (0.1, 0.8], then dpm++3m in 10 steps."""
    plain = {
        "sampler": "dpm++2m", "steps": 20, "spacing": "time", "eta": 0.0, "guide": "unconditional", "guidance": 1.5,
        "guidance_from": 0.0, "guidance_to": 1.0, "skip": 0.0, "clip": "off",
    }  # fmt: skip
    strong = plain | {"guidance": 2.0}
    within = strong | {"guidance_from": 0.1, "guidance_to": 0.8}
    rows = [_swept("start", "", plain, 9.0, told)]
    rows += [_swept("guidance", f"{g:g}", plain | {"guidance": g}, 8 + (g - 2) ** 2, told) for g in (3.0, 1.0, 2.0)]
    rows += [_swept("interval", "0-1", strong, 8.0, told), _swept("interval", "0.1-0.8", within, 7.0, told)]
    rows += [_swept("steps", str(n), within | {"steps": n}, 6.5 + 10 / n, told) for n in (5, 10, 20)]
    ten = within | {"steps": 10}
    rows += [
        _swept("sampler", name, ten | {"sampler": name}, 6 + k, told) for k, name in enumerate(("dpm++3m", "ddim"))
    ]
    about = {
        "images": 64_000, "features": "digits-classifier, seed 7", "features_images": 900, "n": 500, "seed": 1000,
        "reference": "5,000 training pictures of mnistm at 28 px", "machine": "2-core x86 test machine, 1 threads",
    }  # fmt: skip
    best = {"sampling": ten | {"sampler": "dpm++3m"}, "images": 64_000, "why": "dpm++3m in 10 steps: the lowest."}
    sweep = {**about, "rows": rows} | ({"rule": "the lowest distance", "best": best} if finished else {})
    write_json(folder / "sweep.json", sweep)
    return sweep


def _swept(axis: str, setting: str, sampling: dict[str, Any], distance: float, told: bool) -> dict[str, Any]:
    right = {"accuracy": 0.99 if told else None, "accuracy_error": 0.004 if told else None}
    evaluations = 2 * sampling["steps"] if sampling["guidance"] != 1 else sampling["steps"]
    cost = {"evaluations": evaluations, "seconds_per_image": 0.03, "n": 500}
    return {
        "axis": axis, "setting": setting, "sampling": sampling, **right, "frechet": distance, "floor": 2.0, **cost
    }  # fmt: skip


def write_classifier(root: Path, name: str = "faces-attributes") -> Path:
    """An evaluated classifier of attributes."""
    folder = _folder(root, name, "classifier", 0, {})
    write_json(folder / "results.json", results({"attribute_accuracy": 0.893}))
    write_lines(folder / "metrics.jsonl", [{"images": 100 * k, "train/loss": 1 / k} for k in range(1, 9)])
    write_json(folder / "evaluation.json", {"classes": ["Male"], "warnings": [], "drawn": True})
    return folder


def _folder(root: Path, name: str, family: str, seed: int, options: dict[str, Any]) -> Path:
    words = "".join(f"-{key}-{value}" for key, value in options.items())
    folder = root / f"{name}{words}-seed{seed}"
    (folder / "samples").mkdir(parents=True)
    write_json(folder / "config.json", config(name, family, seed, options))
    return folder


def config(name: str, family: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    fields, origins = {**FIELDS[family], **options}, {"lr": "published", **dict.fromkeys(options, "yours")}
    published = {"fid": 28.0, "face_rate": 0.91} if name == "hw2-gan-a" else {}
    return {
        "genshift": "0.1.0",
        "preset": {
            "family": family, "name": name, "study": name.split("-")[0], "task": "celeba", "role": family,
            "summary": f"a {family} of celeba", "networks": name, "fields": fields, "origins": origins,
            "published": published,
        },
        "seed": seed, "images": 64_000, "minutes": None, "classes": ["Male"], "precision": "float32", "device": "cpu",
        "machine": "2-core x86 test machine", "threads": 1, "world": 1,
        "command": f"genshift train {name} --seed {seed} --out {name}-seed{seed}",
        "data": {"data": {"name": "celeba", "n": 4_500, "held_out": 0, "fingerprint": "ba04179eb8e336eb"}},
        "networks": NETWORKS[family], "parameters": dict.fromkeys(NETWORKS[family], 5_142_083),
        "environment": {"python": "3.11.9"},
    }  # fmt: skip


def results(values: dict[str, float]) -> dict[str, Any]:
    minutes = {"value": 11.6, "std": None, "n": 64_000, "protocol": "process time"}
    found = {
        name: {"value": value, "std": value / 50, "n": 500, "protocol": PROTOCOLS.get(name, "…")}
        | ({"floor": FLOORS[name]} if name in FLOORS else {})
        for name, value in values.items()
    }
    return {**found, "cpu_minutes": minutes, "images_per_second": {**minutes, "value": 90.0}}


def evaluation(pictures: list[dict[str, str]], kept: list[dict[str, Any]]) -> dict[str, Any]:
    return {"images": 64_000, "classes": [], "warnings": [], "drawn": True, "pictures": pictures, "snapshots": kept}


def gan_curves(seed: int, count: int = 40) -> list[dict[str, Any]]:
    """D wins for a while in the middle."""
    rng, rows = np.random.default_rng(seed), []
    for step in range(1, count + 1):
        won = 10 <= step < 20
        row: dict[str, Any] = {"images": 1_600 * step, "seconds": 2.0 * step, "cpu_seconds": 4.0 * step}
        row["train/loss_d"] = 0.1 if won else 0.6 + 0.1 * rng.random()
        if step != 5:  # some readings hold no step of the generator
            row["train/loss_g"] = 5 - 3 * step / count + 0.3 * rng.random()
        row["train/told_apart"] = 0.995 if won else 0.85 + 0.05 * rng.random()
        row["train/spread"] = 0.3 + 0.6 * step / count
        rows.append(row | ({"alarms": ["discriminator won"]} if won else {}))
    return rows


def vae_curves(count: int = 40) -> list[dict[str, Any]]:
    rows = []
    for step in range(1, count + 1):
        mse = 0.01 + 0.05 * np.exp(-step / 6)
        lam = 1e-5 / (mse**2 if mse < 0.015 else 1.0)
        row = {"images": 1_600 * step, "seconds": 2.0 * step, "cpu_seconds": 4.0 * step}
        rows.append(row | {"train/loss": mse, "train/loss_reconstruction": mse, "train/loss_kl": 2.0, "train/lam": lam})
    return rows


def stage(images: int, points: int = 200) -> dict[str, Any]:
    rng = np.random.default_rng(images)
    labels = np.arange(points) % 2
    plane = rng.normal(size=(points, 2)) * 5 + np.outer(labels, [images / 3_000, 0])
    return {"images": images, "x": plane[:, 0].tolist(), "y": plane[:, 1].tolist(), "label": labels.tolist()}


def entry(folder: Path, name: str, columns: int, count: int, title: str, caption: str) -> dict[str, str]:
    """Writes a grid of coloured squares, and answers with what evaluation.json says of it."""
    write_grid(folder / "samples" / f"{name}.png", columns, count)
    return {"file": f"samples/{name}.png", "title": title, "caption": caption}


def snapshots(folder: Path) -> list[dict[str, Any]]:
    kept = [(images, f"samples/images-{images:012d}.png") for images in range(6_400, 64_001, 6_400)]
    for images, file in kept:
        write_grid(folder / file, 8, 32, images)
    return [{"images": images, "file": file} for images, file in kept]


def write_grid(path: Path, columns: int, count: int, seed: int = 0) -> None:
    rng, pitch = np.random.default_rng([seed, count]), SIDE + GAP
    sheet = np.full((count // columns * pitch + GAP, columns * pitch + GAP, 3), 255, np.uint8)
    for number in range(count):
        top, left = (GAP + place * pitch for place in divmod(number, columns))
        sheet[top : top + SIDE, left : left + SIDE] = rng.integers(0, 255, (SIDE, SIDE, 3)) // 2 + rng.integers(
            0, 127, 3
        )
    Image.fromarray(sheet).save(path)
