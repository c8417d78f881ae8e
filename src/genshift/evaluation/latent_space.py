"""A VAE's latent space over training: how separable an attribute is in it, and how near each group lies to N(0, I)."""

from __future__ import annotations

from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.evaluation.findings import Findings
from genshift.evaluation.panels import STAGE_ATTRIBUTE, kept_latents
from genshift.metrics.linear_probe import linear_probe
from genshift.metrics.moments import divergence_from_normal, mixture_moments
from genshift.runs.folder import RunFolder
from genshift.runs.results import Measure

STAGES = {1: ("last",), 2: ("first", "last"), 3: ("first", "middle", "last")}  # by how many checks were kept


def measure_stages(found: Findings, run: RunFolder, held_out: ImageSet) -> None:
    """Adds of the first, the middle and the last check how separable the attribute Male is in the latent vectors of the
    held-out pictures that training kept them of, and the moments of those with it and of those without.

    Nothing where the pictures have no such attribute, or nothing was kept.
    """
    if STAGE_ATTRIBUTE not in held_out.attribute_names:
        return
    with found.measuring("latent space at three stages"):
        kept, has = kept_latents(run, held_out), held_out.attribute(STAGE_ATTRIBUTE).cpu() > 0
        for stage, (images, held) in zip(STAGES.get(len(kept), ()), kept.items(), strict=True):
            seen = f"after {images:,} images of training"
            with found.measuring(f"latent_probe/{stage}"):
                accuracy, error = linear_probe(held["latents"], has.long())
                commonest = max(has.double().mean().item(), 1 - has.double().mean().item())
                protocol = (
                    f"held-out accuracy of a logistic regression of {STAGE_ATTRIBUTE} on the standardised posterior "
                    f"means of {len(has):,} held-out pictures of {held_out.name} (two halves in turn), {seen}; std is "
                    "the binomial error; floor: always the commoner answer"
                )
                found.results[f"latent_probe/{stage}"] = Measure(accuracy, len(has), protocol, error, commonest)
            if "log_variances" in held:
                for group, rows in (("with", has), ("without", ~has)):
                    with found.measuring(f"latent_kl_{group}/{stage}"):
                        measured = _moments(held["latents"][rows], held["log_variances"][rows], f"{group} Male, {seen}")
                        found.results[f"latent_kl_{group}/{stage}"] = measured


def _moments(means: Tensor, log_variances: Tensor, words: str) -> Measure:
    """The divergence from N(0, I) of the vectors that are drawn for some pictures, `[n, latent]` each."""
    n, width = means.shape
    mean, variance = mixture_moments(means, log_variances)
    protocol = (
        f"nats from N(0, I) to the Gaussian with the mean and the variances of what is drawn for {n:,} held-out "
        f"pictures {words}; mean length {mean.norm().item():.3g}, mean variance {variance.mean().item():.3g} over "
        f"{width:,} dimensions; floor: about what {n:,} vectors from N(0, I) would have"
    )
    return Measure(divergence_from_normal(mean, variance), n, protocol, None, width / n)
