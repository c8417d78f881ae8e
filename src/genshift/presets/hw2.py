"""The first report ("hw2"): two GANs of faces, conditional diffusion of MNIST-M, DANN from MNIST-M to SVHN and USPS.

Its facts stand here alone: published figures, settings, and where each setting comes from.
"""

from __future__ import annotations

from typing import Any

from genshift.presets.adaptation import HW2Adaptation
from genshift.presets.base import HALF_LIFE, PUBLISHED, Preset
from genshift.presets.diffusion import Diffusion
from genshift.presets.pictures import GAN
from genshift.presets.reports import (
    BOUNDS_AND_DANN,
    FACES,
    NO_ADVERSARY,
    NOT_PHASED,
    PRINTED_FACES,
    published_size,
    walked_images,
)

# --- P1: two GANs ----------------------------------------------------------------------------------------------------

HW06 = "cited source (ML2021 HW06)"
WGAN_GP_PAPER = "cited source (WGAN-GP, arXiv 1704.00028)"


def _hw2_gan(letter: str, **fields: Any) -> GAN:
    """hw2 names the networks and the idea; the rest is its cited source's, or the papers'."""
    return GAN(
        name=f"hw2-gan-{letter}", study="hw2", method="gan", networks=f"hw2-gan-{letter}", images=10 * FACES, epochs=10,
        size=64, batch=64, latent=100, lr=1e-4, mean=0.5, std=0.5, **fields,
        published={"fid": {"a": 28.0, "b": 24.0}[letter], "face_rate": 0.91},
    )  # fmt: skip


_A_ORIGINS = {
    **PRINTED_FACES,
    "loss": HW06,
    "batch": HW06,
    "lr": HW06,
    "beta1": HW06,
    "beta2": HW06,
    "optimizer": HW06,
}
GAN_A = _hw2_gan("a", loss="bce", origins={**_A_ORIGINS, "first": HW06, "critic_steps": HW06})


_FROM_WGAN_GP = ("loss", "gradient_penalty", "batch", "lr", "beta1", "beta2", "optimizer", "first")
GAN_B = _hw2_gan(
    "b", loss="wgan", spectral_norm="on", gradient_penalty=10.0, beta1=0.0, beta2=0.9,
    origins={
        **PRINTED_FACES, **dict.fromkeys(_FROM_WGAN_GP, WGAN_GP_PAPER),
        "spectral_norm": PUBLISHED, "critic_steps": HW06,
    },
)  # fmt: skip


# --- P2: conditional diffusion ---------------------------------------------------------------------------------------

DDPM_CONDITIONAL = "cited source (dome272/Diffusion-Models-pytorch)"
_DIFFUSION_ORIGINS = {
    "networks": PUBLISHED,
    "epochs": PUBLISHED,
    "images": "published (300 epochs of MNIST-M's training images)",
    "batch": PUBLISHED,
    "lr": PUBLISHED,
    "optimizer": PUBLISHED,
    "predict": "published (Algorithm 1)",
    "sampler": "published (Algorithm 2)",
    "weighting": "published (Algorithm 1)",
    "width": "published (printed)",
    "colour": "published (printed)",
    "steps": "published (the figure's 1,000 time steps)",
    "process": DDPM_CONDITIONAL,
    "guide": "published (its unconditional branch)",
    "guidance": DDPM_CONDITIONAL,
    "label_dropout": f"{DDPM_CONDITIONAL}; per image instead of per batch: ours",
    "ema_half_life": "published (none is named)",
    "skip": "ours (the report names no probability)",
    "clip": "cited source (the code of DDPM's authors clips its predicted picture; neither report nor paper says so)",
    "mean": "cited source (DDPM, arXiv 2006.11239: pixels in [-1, 1])",
    "std": "cited source (DDPM, arXiv 2006.11239: pixels in [-1, 1])",
    "weight_decay": "cited source (AdamW's default in PyTorch)",
}


DIFFUSION = Diffusion(
    name="hw2-diffusion", study="hw2", method="diffusion", networks="hw2-unet", data="mnistm",
    images=300 * published_size("mnistm"), epochs=300, size=28, batch=64, optimizer="adamw",
    lr=3e-4, weight_decay=0.01, mean=0.5, std=0.5, condition="classes", process="linear", predict="epsilon",
    label_dropout=0.1, sampler="ddpm", steps=1000, guidance=3.0, skip=0.5, clip="on", origins=_DIFFUSION_ORIGINS,
)  # fmt: skip


# --- P3: MNIST-M to SVHN and to USPS ---------------------------------------------------------------------------------

HW11 = "cited source (ML2021 HW11)"
HW2_FIGURES = {("mnistm", "svhn"): (0.3366, 0.4874, 0.9046), ("mnistm", "usps"): (0.8743, 0.9368, 0.9783)}
_HW2_ORIGINS = {
    "source": PUBLISHED,
    "target": PUBLISHED,
    "networks": PUBLISHED,
    "epochs": PUBLISHED,
    "images": "published (epochs × the published set's size; the shorter set ends a walked-together epoch: ours)",
    "batch_source": PUBLISHED,
    "batch_target": PUBLISHED,
    "optimizer": PUBLISHED,
    "lr": PUBLISHED,
    "pooling": f"published (the printed extractor; five in its {HW11})",
    "size": "ours (at 28 to 31 pixels the printed extractor gives 512 features)",
    "colour": "published (the printed first convolution takes 3 channels)",
    "mean": HW11,
    "std": HW11,
    "adversary": HW11,
    "lam": HW11,
    "lam_schedule": HW11,
    "statistics": HW11,
    **NOT_PHASED,
}


def _hw2(source: str, target: str, method: str) -> HW2Adaptation:
    own = target if method == "target" else source
    walked = walked_images(200, (published_size(source), 64), (published_size(target), 64))
    adapts = method == "dann"
    return HW2Adaptation(
        name=f"hw2-{method}-{source}-{target}",
        study="hw2",
        method=method,
        networks="hw2",
        source=source,
        target=target,
        epochs=200,
        images=walked if adapts else 200 * published_size(own),
        lr=3e-4,
        ema_half_life=HALF_LIFE,
        validation=0.05,
        adversary="alternating" if adapts else "none",
        lam=0.1 if adapts else 0.0,
        origins=_HW2_ORIGINS if adapts else {**_HW2_ORIGINS, **NO_ADVERSARY},
        published={"target_accuracy": HW2_FIGURES[source, target][BOUNDS_AND_DANN.index(method)]},
    )


PRESETS: tuple[Preset, ...] = (
    *(_hw2(*task, method) for task in HW2_FIGURES for method in BOUNDS_AND_DANN),
    *(GAN_A, GAN_B, DIFFUSION),
)
