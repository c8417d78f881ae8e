"""Presets of our own: generators and classifiers of faces and of digits."""

from __future__ import annotations

from genshift.presets.base import HALF_LIFE
from genshift.presets.diffusion import Diffusion
from genshift.presets.pictures import GAN, VAE, Classifier, Pictures

# Those that adapt are made from the table of methods (genshift.presets.benchmark).
PRESETS: tuple[Pictures, ...] = (
    Classifier(
        name="faces-attributes", study="faces", method="classifier", networks="residual", images=90_000, size=64,
        flip=0.5, shift=0.05, scale=0.05, rotate=5.0, batch=64, lr=1e-3, lr_schedule="cosine", lr_warmup=4_000,
        mean=0.5, std=0.5, answers="attributes", optimizer="adamw", weight_decay=0.05, ema_half_life=HALF_LIFE,
    ),
    VAE(
        name="faces-vae", study="faces", method="vae", networks="residual", images=100_000, size=64, flip=0.5,
        batch=32, latent=128, width=32, lr=1e-3, lr_schedule="cosine", lr_warmup=1_000, likelihood="sigma",
        prior="mixture", ema_half_life=HALF_LIFE,
    ),
    GAN(
        name="faces-gan", study="faces", method="gan", networks="residual", images=300_000, size=64, flip=0.5, batch=16,
        latent=128, width=64, mean=0.5, std=0.5, lr=4e-4, lr_schedule="cosine", beta1=0.0, beta2=0.99,
        loss="relativistic", r1=0.3, r2=0.3, penalty_every=16, diffaugment="color,translation",
        ema_half_life=HALF_LIFE,
    ),
    Classifier(
        name="digits-classifier", study="digits", method="classifier", networks="residual", data="mnistm",
        images=1_400_000, size=28, shift=0.1, scale=0.1, rotate=10.0, recolour=0.8, batch=128, lr=2e-3,
        lr_schedule="cosine", lr_warmup=20_000, mean=0.5, std=0.5, optimizer="adamw", weight_decay=0.05,
        ema_half_life=HALF_LIFE,
    ),
    Diffusion(
        name="digits-diffusion", study="digits", method="diffusion", networks="unet", data="mnistm", images=212_000,
        size=28, batch=32, width=96, patch=2, optimizer="muon", lr=1.5e-3, lr_schedule="cosine", lr_warmup=5_000,
        mean=0.5, std=0.5, condition="classes", process="flow", predict="v", label_dropout=0.1, sampler="unipc",
        steps=12, guide="both", guidance=3.25, guidance_from=0.15, guidance_to=0.9, ema_half_life=HALF_LIFE,
    ),
    Diffusion(
        name="faces-diffusion", study="faces", method="diffusion", networks="unet", data="celeba", images=1_000_000,
        size=64, batch=32, width=96, patch=4, flip=0.5, optimizer="muon", lr=1.5e-3, lr_schedule="cosine",
        lr_warmup=5_000, mean=0.5, std=0.5, condition="attribute", attribute="Male", process="flow", predict="v",
        label_dropout=0.1, sampler="dpm++2m", steps=12, guidance=1.25, ema_half_life=HALF_LIFE,
    ),
)  # fmt: skip
