"""The options of every preset as keywords, for editors and type checkers.

Written by `python tests/test_keywords.py`; what each means, `genshift show PRESET` and `genshift train --help` say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict


class TrainOptions(TypedDict, total=False):
    """Any preset takes some of these; the others are refused by name."""

    adversary: Literal["alternating", "inverted", "none", "reversal"]
    alignment: float
    answers: Literal["attributes", "classes"]
    attribute: str
    augment: Literal["auto", "given"]
    backbone: str
    backbone_rate: float
    background: Literal["black", "grey", "white"]
    balance: float
    batch: int
    batch_source: int
    batch_target: int
    beta1: float
    beta2: float
    clip: Literal["off", "on"]
    colour: Literal["grey", "rgb"]
    components: int
    condition: Literal["attribute", "classes", "none"]
    consistency: float
    coral: float
    critic_steps: int
    data: str | Path
    depth: int
    diffaugment: Literal["color,translation", "color,translation,cutout", "off"]
    discriminator_width: int
    dropout: float
    ema_half_life: int
    encoding: str
    eta: float
    extra: str | Path
    features: str | Path
    first: Literal["discriminator", "generator"]
    first_norm: Literal["off", "on"]
    fit: Literal["crop", "pad"]
    flip: float
    frame: Literal["full", "mnist"]
    free_bits: float
    gamma: float
    generator_steps: int
    gradient_penalty: float
    guidance: float
    guidance_from: float
    guidance_to: float
    guide: Literal["both", "unconditional", "weak"]
    held_out: str
    images: int
    information: float
    kl_warmup: int
    label_dropout: float
    labellings: int
    lam: float
    lam_schedule: Literal["constant", "dann"]
    latent: int
    likelihood: Literal["mse", "sigma"]
    loaders: Literal["walked", "zipped"]
    loss: Literal["bce", "hinge", "relativistic", "wgan"]
    lr: float
    lr_schedule: Literal["constant", "cosine", "linear"]
    lr_warmup: int
    margin: float
    mcc: float
    mean: float
    neighbours: int
    optimizer: Literal["adam", "adamw", "muon", "sgd"]
    patch: int
    penalty_every: int
    perceptual: float
    pixels: Literal["model", "preset"]
    pooling: Literal["five", "two", "two-averaged"]
    precision: Literal["auto", "bfloat16", "float32", "float64"]
    predict: Literal["edm", "epsilon", "v", "x0"]
    pretrain: float
    pretrain_lr: float
    prior: Literal["even", "mixture", "normal", "source"]
    process: Literal["cosine", "edm", "flow", "linear"]
    propagation: float
    pseudo: float
    r1: float
    r2: float
    recolour: float
    ridge: float
    rotate: float
    rounds: int
    sampler: Literal["ddim", "ddpm", "dpm++2m", "dpm++3m", "heun", "unipc"]
    scale: float
    select: Literal["best", "label-free", "last"]
    share_first: float
    share_last: float
    shift: float
    size: int
    skip: float
    smoothing: float
    source: str | Path
    spacing: Literal["snr", "time"]
    spectral_norm: Literal["off", "on"]
    statistics: Literal["apart", "mixed", "own"]
    std: float
    steps: int
    strong: float
    strong_invert: float
    strong_recolour: float
    target: str | Path
    teacher_half_life: int
    temperature: float
    threshold: float
    try_information: Literal["off", "on"]
    validation: float
    weight_decay: float
    weighting: Literal["min-snr", "uniform"]
    weights: str | Path
    width: int
