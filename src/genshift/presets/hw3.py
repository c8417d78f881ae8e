"""The second report ("hw3"): VAE and GAN of faces; DANN and ADDA on USPS to MNIST-M, MNIST-M to SVHN, SVHN to USPS.

Its facts stand here alone: published figures, settings, and where each setting comes from.
"""

from __future__ import annotations

from dataclasses import replace

from genshift.presets.adaptation import Adaptation
from genshift.presets.base import HALF_LIFE, PUBLISHED, Preset
from genshift.presets.papers import DANN_PAPER
from genshift.presets.pictures import GAN, VAE
from genshift.presets.reports import (
    BOUNDS_AND_DANN,
    FACES,
    NO_ADVERSARY,
    NOT_PHASED,
    PRINTED_FACES,
    published_size,
    walked_images,
)

# --- P1 and P2: VAE and GAN ------------------------------------------------------------------------------------------

DCGAN_PAPER = "cited source (DCGAN, arXiv 1511.06434)"
_FACES_ORIGINS = {
    **PRINTED_FACES,
    "epochs": PUBLISHED,
    "images": "published (epochs × CelebA's published training images: ours)",
    "batch": PUBLISHED,
    "optimizer": PUBLISHED,
    "lr": PUBLISHED,
    "lr_schedule": PUBLISHED,
    "flip": PUBLISHED,
}


HW3_GAN = GAN(
    name="hw3-gan", study="hw3", method="gan", networks="hw3-gan", images=100 * FACES, epochs=100, size=64,
    flip=0.5, batch=64, latent=128, lr=1e-4, mean=0.5, std=0.5, loss="bce", first="generator",
    origins={**_FACES_ORIGINS, "loss": PUBLISHED, "first": PUBLISHED, "beta1": DCGAN_PAPER, "beta2": DCGAN_PAPER},
)  # fmt: skip


HW3_VAE = VAE(
    name="hw3-vae", study="hw3", method="vae", networks="hw3-vae", images=100 * FACES, epochs=100, size=64,
    flip=0.5, batch=32, latent=128, lr=1e-4, likelihood="mse",
    origins={
        **_FACES_ORIGINS,
        "likelihood": PUBLISHED,
        "mean": "published (its threshold and errors fit pixels in [0, 1])",
        "std": "published (its threshold and errors fit pixels in [0, 1])",
    },
    published={"reconstruction_mse": 0.0132},
)  # fmt: skip


# --- P3: DANN, and P4: ADDA ------------------------------------------------------------------------------------------

HW3_FIGURES = {
    ("usps", "mnistm"): (0.1517, 0.4249, 0.8702),
    ("mnistm", "svhn"): (0.4179, 0.4730, 0.8351),
    ("svhn", "usps"): (0.5416, 0.5789, 0.9546),
}
HW3_ADDA = {
    ("usps", "mnistm"): (1e-4, 0.4594),
    ("mnistm", "svhn"): (1e-3, 0.5378),
    ("svhn", "usps"): (1e-5, 0.6003),
}  # lr, accuracy
# At DANN's 1 the adversary takes 7 points of held-out source accuracy on this task (1 on the others), at 0.3 five. Its
# domains differ in how often each digit occurs; aligning them all the same swaps classes (docs/results.md).
HW3_LAM = {("svhn", "usps"): 0.3}
_LESS = "ours (less than DANN's 1: by held-out source accuracy)"
HW3_BATCH = {"usps": 64, "mnistm": 256, "svhn": 256}

_HW3_ORIGINS = {
    "source": PUBLISHED,
    "target": PUBLISHED,
    "networks": PUBLISHED,
    "epochs": PUBLISHED,
    "images": "published (epochs × 70% of the published set's size; the shorter loader ends an epoch: ours)",
    "batch_source": PUBLISHED,
    "batch_target": PUBLISHED,
    "optimizer": PUBLISHED,
    "lr": PUBLISHED,
    "lr_schedule": PUBLISHED,
    "validation": PUBLISHED,
    "select": "published (on source images, the latest within one standard error of the best: ours)",
    "flip": PUBLISHED,
    "rotate": PUBLISHED,
    "shift": PUBLISHED,
    "scale": PUBLISHED,
    "colour": PUBLISHED,
    "mean": PUBLISHED,
    "std": PUBLISHED,
    "adversary": PUBLISHED,
    "lam": DANN_PAPER.origin,
    "lam_schedule": DANN_PAPER.origin,
    **NOT_PHASED,
}
_ADDA_ORIGINS = {
    **_HW3_ORIGINS,
    "images": "published (10 + 20 epochs × 70% of the published set's size; the shorter loader ends one of 20: ours)",
    "pretrain": "published (10 of the 30 epochs, in source images)",
    "pretrain_lr": PUBLISHED,
    "select": "ours (the report's validation is unsaid; ours sees no target label)",
    "statistics": "ours (the frozen extractor keeps its own, the other one's are the target's)",
    "lam": "ours (no λ here)",
    "lam_schedule": "ours (no λ here)",
}


def _hw3(source: str, target: str, method: str) -> Adaptation:
    own = target if method == "target" else source
    batches = HW3_BATCH[source], HW3_BATCH[target]
    walked = walked_images(20, (0.7 * published_size(source), batches[0]), (0.7 * published_size(target), batches[1]))
    adapts = method == "dann"
    return Adaptation(
        name=f"hw3-{method}-{source}-{target}",
        study="hw3",
        method=method,
        networks="hw3",
        source=source,
        target=target,
        epochs=20,
        images=walked if adapts else int(20 * 0.7 * published_size(own)),
        colour="grey",
        mean=0.5,
        std=0.5,
        batch_source=batches[0],
        batch_target=batches[1],
        validation=0.3,
        select="best",
        lr=1e-3,
        ema_half_life=HALF_LIFE,
        adversary="reversal" if adapts else "none",
        statistics="apart",
        lam=HW3_LAM.get((source, target), 1.0) if adapts else 0.0,
        lam_schedule="dann" if adapts else "constant",
        origins={
            **_HW3_ORIGINS,
            **({"lam": _LESS} if (source, target) in HW3_LAM else {}),
            **({} if adapts else NO_ADVERSARY),
        },
        published={"target_accuracy": HW3_FIGURES[source, target][BOUNDS_AND_DANN.index(method)]},
    )


def _hw3_adda(source: str, target: str) -> Adaptation:
    """DANN's data, networks and batches; grey only where SVHN takes part, and pixels in [0, 1]."""
    dann = _hw3(source, target, "dann")
    lr, figure = HW3_ADDA[source, target]
    alone = int(10 * 0.7 * published_size(source))
    return replace(
        dann,
        name=f"hw3-adda-{source}-{target}",
        method="adda",
        epochs=30,
        images=alone + dann.images,
        pretrain=round(alone / (alone + dann.images), 5),
        colour="grey" if "svhn" in (source, target) else "rgb",
        mean=0.0,
        std=1.0,
        select="label-free",
        lr=lr,
        adversary="inverted",
        lam=0.0,
        lam_schedule="constant",
        origins=_ADDA_ORIGINS,
        published={"target_accuracy": figure},
    )


PRESETS: tuple[Preset, ...] = (
    *(
        preset
        for task in HW3_FIGURES
        for preset in (*(_hw3(*task, method) for method in BOUNDS_AND_DANN), _hw3_adda(*task))
    ),
    *(HW3_VAE, HW3_GAN),
)
