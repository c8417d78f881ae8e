"""Diffusion models: pictures drawn by taking noise away, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, Self

from genshift.errors import Refusal
from genshift.presets.base import flag, option
from genshift.presets.pictures import Generator

TRAINING_STEPS = 1000  # T of the linear and the cosine schedule
STUDENT = "student"  # the method of a `Student`
PASSES = (1, 2, 4, 8)  # in which it draws
# Each is a function of genshift.diffusion.samplers.
Sampler = Literal["ddpm", "ddim", "dpm++2m", "dpm++3m", "unipc", "heun"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How pictures are drawn from a trained diffusion model; a diffusion preset's defaults, and flags of `sample`."""

    sampler: Sampler = option("how noise is taken away", "ddpm")
    steps: int = option("steps from noise to picture", 20)
    spacing: Literal["time", "snr"] = option("steps evenly in time, or in the logarithm of signal to noise", "time")
    eta: float = option("share of fresh noise in a DDIM step: 0 none, 1 as DDPM", 0.0)
    guide: Literal["unconditional", "weak", "both"] = option(
        "guide away from the model without a label, from its own early state (autoguidance), or from the mean of both",
        "unconditional",
    )
    guidance: float = option("guidance strength; 1 for none", 1.0)
    guidance_from: float = option("noise level t, from 0 to 1, above which guidance acts", 0.0)
    guidance_to: float = option("noise level t up to which guidance acts", 1.0)
    skip: float = option("probability that a step leaves guidance out (hw2's way to save time)", 0.0)
    clip: Literal["off", "on"] = option("keep each predicted picture within the pixels' range", "off")

    @property
    def by_label(self) -> bool:
        """Whether guidance leads away from the model without a label, so that it needs one."""
        return self.guide != "weak"

    @property
    def by_weak(self) -> bool:
        """Whether guidance leads away from the run's early state, so that it needs that."""
        return self.guide != "unconditional"

    def checked_sampling(self) -> Self:
        """This, or a Refusal that names what cannot be."""
        if self.steps < 1:
            raise Refusal(f"--steps must be 1 or more, not {self.steps}.")
        for name in ("eta", "skip", "guidance_from", "guidance_to"):
            if not 0 <= getattr(self, name) <= 1:
                raise Refusal(f"{flag(name)} is a share from 0 to 1, not {getattr(self, name)}.")
        if not 0 <= self.guidance < math.inf:
            raise Refusal(f"--guidance must be 0 or more (1 is none) and finite, not {self.guidance}.")
        if self.guidance_from >= self.guidance_to:
            raise Refusal(
                f"--guidance-from {self.guidance_from:g} is not below --guidance-to {self.guidance_to:g}: no noise "
                "level lies between them; swap them."
            )
        return self


DRAWING = tuple(f.name for f in fields(Sampling))  # options that are no part of what is learnt


@dataclass(frozen=True, kw_only=True)
class Diffusion(Generator, Sampling):
    """A denoising diffusion model, of any process and prediction."""

    family: ClassVar[str] = "diffusion"

    process: Literal["linear", "cosine", "flow", "edm"] = option(
        "how pictures become noise: a schedule of β (linear, cosine), straight lines (flow), or growing σ (edm)",
        "linear",
    )
    predict: Literal["epsilon", "x0", "v", "edm"] = option(
        "what the network answers: the noise, the picture, the velocity, or EDM's mixture", "epsilon"
    )
    weighting: Literal["uniform", "min-snr"] = option("what the error at each noise level weighs", "uniform")
    gamma: float = option("γ of min-SNR weighting", 5.0, above=0)
    label_dropout: float = option("probability that an image is learnt without its label", 0.1, at_least=0, at_most=1)
    patch: int = option(
        "side in pixels of the squares that become channels before the network's first layer", 1, above=0
    )
    dropout: float = option("dropout in the network's blocks", 0.0, at_least=0, at_most=0.9)

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a diffusion model of {self.task}"

    def sampling(self) -> Sampling:
        """How this preset draws."""
        return Sampling(**{f.name: getattr(self, f.name) for f in fields(Sampling)})

    @property
    def folded(self) -> Sampling | None:
        """How the teacher drew whose guidance is folded into this model; None where there is none."""
        return None

    @property
    def drawing(self) -> tuple[str, ...]:
        return DRAWING

    def labels(self, classes: int) -> int:
        """How many labels its network tells apart, of so many classes."""
        return classes

    @property
    def bound_to_budget(self) -> str:
        return "it draws by its state after a share of the budget" if self.by_weak else super().bound_to_budget

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range."""
        super().checked().checked_sampling()
        if (self.process == "edm") != (self.predict == "edm"):
            raise Refusal(f"--process edm and --predict edm go together, not {self.process} with {self.predict}.")
        if self.process in ("linear", "cosine") and self.steps > TRAINING_STEPS:
            raise Refusal(f"--steps is at most {TRAINING_STEPS} in a process of as many steps, not {self.steps}.")
        if self.width % 2:
            raise Refusal(f"--width must be even (half are cosines of the time, half are sines), not {self.width}.")
        guided = self.condition != "none" and self.by_label and self.guidance != 1
        if guided and not self.label_dropout:
            raise Refusal(
                "With --label-dropout 0 nothing is learnt without a label to guide away from: give --guidance 1."
            )
        if self.networks == "hw2-unet" and (self.patch != 1 or self.dropout):
            raise Refusal(f"{self.name}'s network is as printed: it takes no --patch and no --dropout.")
        if self.select == "best":
            raise Refusal("A diffusion model has no measure on held-out pictures to be best at: leave --select out.")
        return self


@dataclass(frozen=True, kw_only=True)
class Student(Diffusion):
    """A network that draws in a few passes what a diffusion model, its teacher, draws in many; `genshift distill`.

    All that says what is drawn is the teacher's. The fields of `Sampling` are the student's own: its flow, without
    guidance, in `steps` passes.
    """

    teacher: str = option("run of the diffusion model that it learns from", "")
    teacher_weights: str = option("digest of the teacher's networks", "")
    solver_steps: int = option("steps of dpm++2m in which the teacher's flow is solved, a multiple of 8", 24, above=0)
    folded_guide: Literal["unconditional", "weak", "both"] = option(
        "what the teacher is guided away from", "unconditional"
    )
    folded_guidance: float = option("the teacher's guidance strength, folded in; 1 for none", 1.0)
    folded_from: float = option("noise level t above which that guidance acts", 0.0)
    folded_to: float = option("noise level t up to which that guidance acts", 1.0)
    folded_clip: Literal["off", "on"] = option("keep the teacher's predicted pictures within the pixels' range", "off")

    @property
    def learner(self) -> str:
        return STUDENT

    @property
    def summary(self) -> str:
        """What the run is, in a line."""
        return f"a student of a diffusion model of {self.task}, which draws in {PASSES[0]} to {PASSES[-1]} passes"

    @property
    def folded(self) -> Sampling:
        return Sampling(
            sampler="dpm++2m", steps=self.solver_steps, spacing=self.spacing, clip=self.folded_clip,
            guide=self.folded_guide, guidance=self.folded_guidance,
            guidance_from=self.folded_from, guidance_to=self.folded_to,
        )  # fmt: skip

    @property
    def drawing(self) -> tuple[str, ...]:
        return ("steps",)

    def labels(self, classes: int) -> int:
        """Each class in each number of passes."""
        return max(1, classes) * len(PASSES)

    def checked(self) -> Self:
        """This preset, or a Refusal that names the option out of range."""
        if self.steps not in PASSES:
            raise Refusal(
                f"--steps of a student is {', '.join(map(str, PASSES[:-1]))} or {PASSES[-1]}, not {self.steps}."
            )
        plain = Sampling(sampler="ddim", steps=self.steps, spacing=self.spacing)
        for name in DRAWING:
            if getattr(self, name) != getattr(plain, name):
                raise Refusal(
                    f"A student draws in a way of its own: leave {flag(name)} out, or say {getattr(plain, name)}."
                )
        if self.solver_steps % PASSES[-1] or self.solver_steps > TRAINING_STEPS // 2:
            raise Refusal(
                f"--solver-steps is a multiple of {PASSES[-1]}, at most {TRAINING_STEPS // 2}, not {self.solver_steps}."
            )
        self.folded.checked_sampling()
        return super().checked()


# Of the teacher's sampling, what is folded into a student; and what of a student's training may be said.
FOLDED = {
    "guide": "folded_guide",
    "guidance": "folded_guidance",
    "guidance_from": "folded_from",
    "guidance_to": "folded_to",
    "clip": "folded_clip",
}
STUDENT_OPTIONS = (
    *("images", "batch", "optimizer", "lr", "lr_schedule", "lr_warmup", "weight_decay", "ema_half_life", "precision"),
    *("solver_steps", "steps"),
)
