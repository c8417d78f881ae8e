"""What is measured of a VAE alone: its reconstructions, its latent space, and the prior it draws from."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

from genshift.data.imageset import ImageSet
from genshift.evaluation import panels
from genshift.evaluation.feature_distance import FeatureSpace
from genshift.evaluation.findings import Findings
from genshift.evaluation.generation import (
    EvaluationContext,
    LatentGeneratorEvaluation,
    held_out_pictures,
    stage_pictures,
)
from genshift.evaluation.latent_space import measure_stages
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.panels import PANEL, ImageWriter
from genshift.evaluation.reconstruction_changes import FLIPS, measure_changes
from genshift.methods import VAEMethod
from genshift.methods.base import to_bytes
from genshift.metrics import reconstruction
from genshift.paths import given_path
from genshift.presets import VAE
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.results import Measure, Results
from genshift.sampling.trained_generator import fit_and_store, has_mixture
from genshift.training.console import Console
from genshift.training.loop import Observer
from genshift.training.train import Settings, predecessor_of

ERRORS = {  # of reconstructions, by their names in results.json, and their units
    "reconstruction_mse": (reconstruction.mse, "mean squared error, pixels in [0, 1]"),
    "psnr": (reconstruction.psnr, "decibels"),
    "ssim": (reconstruction.ssim, "11×11 windows"),
}


class VAEEvaluation(LatentGeneratorEvaluation[VAE, VAEMethod]):
    """Of a VAE also its reconstructions of held-out pictures, and where its latent vectors lie."""

    of_judge = (FLIPS,)

    def observers(self, run: RunFolder, preset: VAE, settings: Settings) -> list[Observer]:
        """One more keeps the latent vectors of the same held-out pictures, where there are any."""
        observers = super().observers(run, preset, settings)
        held_out = held_out_pictures(run, preset, settings.data_root, settings.skip_broken, predecessor_of(settings))
        if held_out is None:
            return observers
        pictures = stage_pictures(held_out).images

        def keep_latents(images: int, method: VAEMethod) -> None:
            path = run.path / "samples" / f"latents-{images:012d}.safetensors"
            means, log_variances = method.encode(pictures)
            tensors = {"latents": means, "log_variances": log_variances}
            checkpoint.save(path, Checkpoint(tensors, {"images": images}))

        return [*observers, keep_latents]

    def plain(self, method: VAEMethod) -> VAEMethod:
        """Latent vectors from N(0, I): a mixture is fitted only to what has learnt to the end."""
        plain = copy.copy(method)  # the networks are shared: they stay as they are
        plain.preset = replace(method.preset, prior="normal")
        return plain

    def prepared(
        self, run: RunFolder, method: VAEMethod, train: ImageSet, options: EvaluationOptions, console: Console
    ) -> VAEMethod:
        """With the mixture that its latent vectors are drawn from, fitted and written beside the checkpoints."""
        if not has_mixture(method):
            return method
        console.say("Fitting the mixture that latent vectors are drawn from …")
        fitted, reason = fit_and_store(run, method, train)
        console.say(f"The mixture: {reason}.")
        return fitted

    def normal_prior(self, method: VAEMethod) -> VAEMethod | None:
        return self.plain(method) if has_mixture(method) else None

    def latent_pictures(self, writer: ImageWriter, context: EvaluationContext[VAEMethod]) -> None:
        """Walks between held-out pictures where there are enough, and along the directions of attributes."""
        method, held_out, found = context.method, context.held_out, context.found
        if held_out is None:
            super().latent_pictures(writer, context)
            return
        with found.measuring("interpolation.png"):
            ends = panels.encoded_ends(method, held_out) or panels.drawn_ends(method)
            found.show(panels.interpolation(writer, method, ends))
        with found.measuring("arithmetic.png"):
            found.show(panels.arithmetic(writer, method, context.train, held_out))

    def measure_networks(
        self,
        writer: ImageWriter,
        method: VAEMethod,
        held_out: ImageSet | None,
        judge: FeatureSpace | None,
        found: Findings,
    ) -> None:
        """Errors of the reconstructions of held-out pictures, some of these pictures beside them, what they change; and
        the latent space over training."""
        if held_out is None:
            return
        # Each picture beside what is decoded from its latent vector.
        decoded = method.reconstruct(held_out.images, held_out.labels if method.classes else None)
        with found.measuring("reconstructions.png"):
            found.show(panels.reconstructions(writer, held_out.images, decoded))
            found.record["panel_mse"] = reconstruction.mse(held_out.images, decoded)[:PANEL].tolist()
        # Means of the errors, with standard errors over pictures.
        words = (
            f"{held_out.name}, {len(held_out):,} held-out pictures at {held_out.images.shape[-1]} px, decoded from "
            "their posterior means; std is the standard error over pictures"
        )
        for name, (measure, unit) in ERRORS.items():
            with found.measuring(name):
                values = measure(held_out.images, decoded)
                error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0
                found.results[name] = Measure(values.mean().item(), len(values), f"{unit}; {words}", error)
        measure_changes(found, judge, held_out, to_bytes(decoded))
        measure_stages(found, writer.run, stage_pictures(held_out))

    def own_warnings(self, preset: VAE, results: Results, options: EvaluationOptions) -> list[str]:
        """Whether the classifier that judges the samples has taught the generator."""
        taught, judge = preset.features if preset.perceptual else "", options.features
        if "class_accuracy" not in results or not taught or judge is None:
            return []
        if given_path(taught).resolve() != judge.resolve():
            return []
        return ["Not independent: the classifier that judges the samples has taught the generator (--perceptual)."]
