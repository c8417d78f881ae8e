"""Variational autoencoders (Kingma and Welling 2014, arXiv 1312.6114), with two decoders' likelihoods.

- `mse` (hw3): means over all elements, λ KL with a λ that grows as the error falls.
- `sigma` (Rybkin, Daniilidis and Levine 2021, arXiv 2006.13202): a normal likelihood whose variance is the one that
  fits best, so that nothing weighs the two terms; sums over pixels and latent dimensions, in nats.

Pictures are drawn from N(0, I), or from a mixture fitted to the training images' latent vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.data.feed import Batch
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.methods.base import EVALUATION_BATCH, LatentGeneratorMethod, at_least_float32
from genshift.methods.mixture import Mixture, fit_mixture
from genshift.methods.schedules import Progress, make_optimizer
from genshift.nets.layers import many_processes
from genshift.presets import VAE

LAMBDA, THRESHOLD = 1e-5, 0.015  # hw3's
COLLAPSED = 1.0  # nats an image: the code says no more than one bit and a half

Features = Callable[[Tensor], list[Tensor]]


class VAEMethod(LatentGeneratorMethod):
    """An encoder and a decoder that learn together.

    `features` maps pictures in the pixel rule's range to feature maps `[N, C, …]` of a frozen network; it is needed
    where the preset's `perceptual` is above 0. A conditional model's decoder, not its encoder, is told the class.
    """

    draws = ("data",)
    preset: VAE
    features: Features | None = None

    def set_up(self) -> None:
        preset = self.preset
        self.mixture: Mixture | None = None
        parameters = [p for net in self.networks.values() for p in net.parameters()]
        self.optimizers = {"all": make_optimizer(preset.optimizer, parameters, preset.lr, preset.weight_decay)}

    def learn_by(self, features: Features) -> None:
        """Takes the feature maps in which `perceptual` measures."""
        self.features = features

    @classmethod
    def inputs(
        cls, name: str, pictures: Tensor, outputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The encoder takes pictures, the decoder latent vectors, and the class where there is one."""
        if name == "encoder":
            return (pictures,)
        return (outputs["latents"],) if labels is None else (outputs["latents"], labels)

    # --- learning ---------------------------------------------------------------------------------------------------

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on the images "data". Losses are in float32 whatever the networks compute in."""
        data = batch["data"]
        with self.arithmetic.autocast():
            mean, logvar = map(at_least_float32, self.nets["encoder"](data.x))
        noise = data.draws.normal("eps", self.preset.latent).to(mean)
        z = mean + (0.5 * logvar).exp() * noise
        with self.arithmetic.autocast():
            y = self.nets["decoder"](z, data.y if self.classes else None)
        loss, scalars = self._loss(data.x, at_least_float32(y), mean, logvar, progress)
        self.optimizers["all"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["all"].step()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in scalars.items()}}

    def _loss(
        self, x: Tensor, y: Tensor, mean: Tensor, logvar: Tensor, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        mse = (self.rule.std * (y - x)).square().mean()  # of pixels in [0, 1]
        if self.preset.likelihood == "mse":
            kl = kl_elements(mean, logvar).mean()
            lam = hw3_lambda(mse)
            loss, weights = mse + lam * kl, {"lam": lam}
        else:
            kl = kl_elements(mean, logvar).mean(0)
            costs = free_bits(kl, self.preset.free_bits) * warmup(self.preset.kl_warmup, progress)
            reconstruction, sigma = sigma_loss(mse, x[0].numel())
            kl = kl.sum()
            loss, weights = reconstruction + costs.sum(), {"sigma": sigma}
        scalars = {"loss_reconstruction": mse, "loss_kl": kl, **weights}
        if self.preset.perceptual:
            assert self.features is not None
            scalars["loss_perceptual"] = perceptual_distance(self.features, x, y)
            loss = loss + self.preset.perceptual * scalars["loss_perceptual"]
        return loss, scalars

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """A posterior that has collapsed onto the prior."""
        kl = means["loss_kl"] * (self.preset.latent if self.preset.likelihood == "mse" else 1)
        if kl >= COLLAPSED:
            return {}
        remedy = "a higher --free-bits or --kl-warmup" if self.preset.likelihood == "sigma" else "--likelihood sigma"
        return {"posterior collapse": f"the latent vector says only {kl:.2g} nats of an image; try {remedy}."}

    # --- what a learnt model answers --------------------------------------------------------------------------------

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """Mean PSNR in decibels of held-out images' reconstructions, with its standard error, and mean MSE."""
        labels = held_out.labels.split(EVALUATION_BATCH) if self.classes and held_out.labels is not None else None
        errors = []
        for i, chunk in enumerate(held_out.images.split(EVALUATION_BATCH)):
            truth = self.pictures(self.rule(chunk, self.arithmetic))
            seen = self.reconstruct(chunk, None if labels is None else labels[i])
            errors.append((seen - truth).square().mean((1, 2, 3)))
        mse = torch.cat(errors).double()
        psnr = -10 * mse.log10()
        error = psnr.std().item() / math.sqrt(len(psnr)) if len(psnr) > 1 else 0.0
        return {"psnr": psnr.mean().item(), "mse": mse.mean().item(), "error": error}

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 `[N, C, H, W]` to mean and log-variance of q(z | x), float32 `[N, latent]` on the CPU."""
        self.train_mode(False)
        chunks = []
        for chunk in images.split(EVALUATION_BATCH):
            with self.arithmetic.autocast():
                chunks.append(self.networks["encoder"](self.rule(chunk, self.arithmetic)))
        means, logvars = zip(*chunks, strict=True)
        return torch.cat(means).float().cpu(), torch.cat(logvars).float().cpu()

    def embed(self, images: Tensor) -> Tensor:
        """uint8 `[N, C, H, W]` to the posterior means, float32 `[N, latent]` on the CPU."""
        return self.encode(images)[0]

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """uint8 `[N, C, H, W]` (of classes `[N]`) to float32 pictures in [0, 1], decoded from the posterior means."""
        return self.decode(self.embed(images), labels)

    @torch.inference_mode()
    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """float32 pictures `[N, C, H, W]` in [0, 1] on the CPU, of latent vectors `[N, latent]` and labels `[N]`.

        Raises Refusal where a conditional model is given no labels.
        """
        if self.classes and labels is None:
            raise Refusal("This run's decoder must know the class of each picture: give labelled images.")
        self.train_mode(False)
        device, dtype = self.arithmetic.device, self.arithmetic.dtype
        pictures = []
        for rows in torch.arange(len(latents)).split(EVALUATION_BATCH):
            y = labels[rows].to(device) if self.classes and labels is not None else None
            with self.arithmetic.autocast():
                pictures.append(self.pictures(self.networks["decoder"](latents[rows].to(device, dtype), y)))
        return torch.cat(pictures)

    # --- where latent vectors are drawn from ------------------------------------------------------------------------

    def fit_prior(self, images: Tensor, labels: Tensor | None = None) -> str:
        """Fits the mixture to uint8 images `[N, C, H, W]` (a conditional model: one to each class of labels `[N]`).

        Returns what was chosen, in words. Raises Refusal for fewer than two images of a class.
        """
        means, logvars = self.encode(images)
        groups = labels.cpu() if self.classes and labels is not None else torch.zeros(len(means), dtype=torch.int64)
        self.mixture, reason = fit_mixture(means, logvars.exp(), groups, max(1, self.classes), self.preset.components)
        return reason

    def prior_state(self) -> dict[str, Tensor]:
        """The fitted mixture's tensors, by name."""
        return self._fitted().state()

    def load_prior(self, state: Mapping[str, Tensor]) -> None:
        """Takes a mixture that `prior_state` gave."""
        self.mixture = Mixture(**state)

    def latents(self, generator: torch.Generator, count: int, labels: Tensor | None = None) -> Tensor:
        """float32 `[count, latent]` on the CPU, from N(0, I) or the fitted mixture (of each label's class `[count]`).

        Raises Refusal where the mixture was not fitted.
        """
        if self.preset.prior == "normal":
            return super().latents(generator, count)
        return self._fitted().draw(generator, count, labels)

    def _fitted(self) -> Mixture:
        if self.mixture is None:
            raise Refusal(
                "The mixture that this run draws from was not fitted: train to the end, or give --prior normal."
            )
        return self.mixture


def _whole(mean: Tensor) -> Tensor:
    """A mean over this process's share of the batch, as one over the whole batch; no gradient passes."""
    whole = mean.detach().clone()
    if many_processes():
        torch.distributed.all_reduce(whole)
        whole /= torch.distributed.get_world_size()
    return whole


# --- losses ----------------------------------------------------------------------------------------------------------


def kl_elements(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) ‖ N(0, 1)) of each element, in nats (arXiv 1312.6114, appendix B)."""
    return -0.5 * (1 + logvar - mean.square() - logvar.exp())


def hw3_lambda(mse: Tensor) -> Tensor:
    """hw3's weight of the KL term: 1e-5, divided by MSE² once the whole batch's MSE is under 0.015."""
    whole = _whole(mse)
    return LAMBDA / torch.where(whole < THRESHOLD, whole.square(), torch.ones_like(whole))


def sigma_loss(mse: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """-log p(x | z) of one image in nats, D/2 (log 2πσ² + MSE/σ²), at the best σ, and that σ (arXiv 2006.13202, eq. 6).

    σ*² is the MSE of the whole batch. Held fixed, it gives the gradient of D/2 log MSE, on many processes too.
    """
    variance = _whole(mse).clamp_min(1e-12)
    nll = 0.5 * dimensions * (math.log(2 * math.pi) + variance.log() + mse / variance)
    return nll, variance.sqrt()


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """max(nats, KL) of each latent dimension `[latent]`, KL a mean over the batch (arXiv 1606.04934, equation 15)."""
    if nats == 0:
        return kl
    return torch.where(_whole(kl) > nats, kl, torch.full_like(kl, nats))


def warmup(images: int, progress: Progress) -> float:
    """The weight of the KL term: from 0 to 1 over the first `images` images."""
    return min(1.0, progress.images / images) if images else 1.0


def perceptual_distance(features: Features, x: Tensor, y: Tensor) -> Tensor:
    """The squared distance of two batches' features, a mean over images and places, summed over the feature maps.

    Each place's channels are first scaled to length 1 (Zhang et al. 2018, arXiv 1801.03924, equation 1).
    """
    with torch.no_grad():
        truth = features(x)
    pairs = zip(truth, features(y), strict=True)
    return torch.stack(
        [(F.normalize(at_least_float32(b)) - F.normalize(at_least_float32(a))).square().sum(1).mean() for a, b in pairs]
    ).sum()


# --- walks in latent space -------------------------------------------------------------------------------------------


def interpolate(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """`[steps, latent]` from latent vector a to b, ends included, on the great circle (spherical interpolation).

    A straight line would pass too near the origin, where N(0, I) puts no vector; lengths change linearly.
    """
    if steps < 2:
        raise Refusal(f"An interpolation needs at least its two ends, not {steps} steps.")
    t = torch.linspace(0, 1, steps, dtype=a.dtype)[:, None]
    length = a.norm() * (1 - t) + b.norm() * t
    a, b = F.normalize(a, dim=0), F.normalize(b, dim=0)
    angle = torch.acos((a @ b).clamp(-1, 1))  # rounding may take the cosine past 1
    if angle.sin() < 1e-4:  # the same direction, or the opposite one: no circle, or any
        return length * (a * (1 - t) + b * t)
    return length * ((((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin())


def attribute_direction(latents: Tensor, has: Tensor) -> Tensor:
    """`[latent]`: the mean of latent vectors `[N, latent]` with an attribute, minus the mean without; `has` bool `[N]`.

    Raises Refusal where all vectors, or none, have it.
    """
    if has.all() or not has.any():
        raise Refusal("An attribute's direction needs images with it and without: give both.")
    return latents[has].mean(0) - latents[~has].mean(0)
