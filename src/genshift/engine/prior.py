"""The mixture that a VAE draws its latent vectors from, kept beside the checkpoints."""

from __future__ import annotations

from genshift.data.imageset import ImageSet
from genshift.engine import checkpoint
from genshift.engine.checkpoint import Checkpoint
from genshift.engine.experiment import open_method, preset_of
from genshift.engine.run import RunFolder
from genshift.errors import Refusal
from genshift.methods import Generating
from genshift.methods.vae import VAEMethod
from genshift.presets import Generator

FILE = "prior.safetensors"


def has_mixture(method: Generating) -> bool:
    """Whether latent vectors are drawn from a mixture, which must be fitted once the networks have learnt."""
    return isinstance(method, VAEMethod) and method.preset.prior == "mixture"


def fit_and_store(run: RunFolder, method: VAEMethod, train: ImageSet) -> str:
    """Fits the mixture to the training images and writes it into the run folder; what was chosen, in words."""
    reason = method.fit_prior(train.images, train.labels)
    checkpoint.save(run.path / FILE, Checkpoint(method.prior_state(), {"images": run.seen}))
    return reason


def open_generator(run: RunFolder) -> tuple[Generator, Generating, tuple[str, ...]]:
    """The trained generator of a run, ready to draw, with its preset and classes.

    Raises Refusal for a run that draws nothing, has no checkpoint, or whose mixture was not fitted to it.
    """
    preset = preset_of(run.config)
    if not isinstance(preset, Generator):
        raise Refusal(f"{run.path} is {preset.summary}: it draws no pictures; name a run of a GAN or VAE.")
    _, method, classes = open_method(run)
    assert isinstance(method, Generating)
    if isinstance(method, VAEMethod) and has_mixture(method):
        method.load_prior(_stored(run))
    return preset, method, classes


def _stored(run: RunFolder) -> dict:
    path = run.path / FILE
    fits = path.is_file() and (found := checkpoint.load(path)).about["images"] == run.seen
    if not fits:
        raise Refusal(
            f"{run.path} draws from a mixture that was not fitted to its last checkpoint: "
            f"`genshift evaluate {run.path}` fits it."
        )
    return found.tensors
