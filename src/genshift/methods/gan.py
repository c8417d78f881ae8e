"""Generative adversarial networks: one step, and what may differ in it.

- `bce`: binary cross-entropy, the generator's in its non-saturating form (Goodfellow et al. 2014, arXiv 1406.2661;
  DCGAN, arXiv 1511.06434).
- `wgan`: the critic's mean difference (WGAN, arXiv 1701.07875), with `gradient_penalty` WGAN-GP (arXiv 1704.00028).
- `hinge`: arXiv 1705.02894, as in SNGAN (arXiv 1802.05957, equations 16 and 17).
- `relativistic`: real and fake in pairs (RpGAN; R3GAN, arXiv 2501.05441, equation 2), with `r1` and `r2` its equations
  3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from genshift.data.feed import Batch
from genshift.methods.base import WON, Frozen, LatentGeneratorMethod, at_least_float32
from genshift.methods.diffaugment import diffaugment
from genshift.methods.schedules import Progress, make_optimizer
from genshift.presets import GAN


class GANMethod(LatentGeneratorMethod):
    """A generator and a discriminator (or critic), each with its optimizer.

    BatchNorm: real and generated pictures pass a discriminator that has it in batches of their own, each normalised by
    its own statistics; without it one pass does for both. A gradient penalty, which differentiates twice, computes in
    float32 (or float64) whatever the rest does.
    """

    draws = ("data",)
    preset: GAN

    def set_up(self) -> None:
        preset = self.preset
        self.normalises_batches = any(isinstance(m, _BatchNorm) for m in self.networks["discriminator"].modules())
        betas = (preset.beta1, preset.beta2)
        self.optimizers = {
            name: make_optimizer(preset.optimizer, net.parameters(), preset.lr, preset.weight_decay, betas)
            for name, net in self.networks.items()
        }

    @classmethod
    def inputs(
        cls, name: str, pictures: Tensor, outputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The generator makes pictures of latent vectors, the discriminator looks at them."""
        beside = () if labels is None else (labels,)
        return (outputs["latents"] if name == "generator" else pictures, *beside)

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step of the discriminator, and one of the generator in every `critic_steps`."""
        data = batch["data"]
        turn = progress.images // self.preset.batch
        plays = turn % self.preset.critic_steps == self.preset.critic_steps - 1
        penalised = turn % self.preset.penalty_every == 0
        if self.preset.first == "generator" and plays:
            return self.generator_step(data) | self.discriminator_step(data, penalised)
        scalars = self.discriminator_step(data, penalised)
        return scalars | (self.generator_step(data) if plays else {})

    def discriminator_step(self, data: Batch, penalised: bool = True) -> dict[str, Tensor]:
        """The discriminator tells this batch of real pictures from as many generated ones.

        Where a step is not penalised, another pays for it (lazy regularisation: StyleGAN2, arXiv 1912.04958, 3.1).
        """
        with torch.no_grad(), self.arithmetic.autocast():
            fake = self.networks["generator"](*self._noise(data, "discriminator"))
        real = data.x
        fake = fake.to(real.dtype).contiguous(memory_format=self.arithmetic.memory_format)
        d_real, d_fake = self._judge_both(real, fake, data)
        loss = discriminator_loss(self.preset.loss, d_real, d_fake)
        penalties = self._penalties(real, fake, data) if penalised else {}
        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        (loss + self.preset.penalty_every * sum(penalties.values())).backward()
        self.optimizers["discriminator"].step()
        share = told_apart(self.preset.loss, d_real.detach(), d_fake.detach())
        scalars = {"loss_d": loss, **penalties, "told_apart": share, "spread": relative_spread(fake, real)}
        return {name: value.detach() for name, value in scalars.items()}

    def generator_step(self, data: Batch) -> dict[str, Tensor]:
        """The generator takes as many new pictures past the discriminator, which does not change."""
        with self.arithmetic.autocast():
            fake = self.nets["generator"](*self._noise(data, "generator"))
        with Frozen(self.networks["discriminator"]):
            net = self.networks["discriminator"]
            d_fake = self._judge(net, self._view(fake, data, "generated"), data.y)
            d_real = None
            if self.preset.loss == "relativistic":
                d_real = self._judge(net, self._view(data.x, data, "beside generated"), data.y)
            loss = generator_loss(self.preset.loss, d_fake, d_real)
            self.optimizers["generator"].zero_grad(set_to_none=True)
            loss.backward()
        self.optimizers["generator"].step()
        return {"loss_g": loss.detach()}

    # --- parts of a step ------------------------------------------------------------------------------------------

    def _noise(self, data: Batch, name: str) -> tuple[Tensor, ...]:
        """Noise, and the real pictures' labels where the generator is conditional."""
        z = data.draws.normal(name, self.preset.latent).to(data.x)
        return (z, data.y) if self.classes and data.y is not None else (z,)

    def _judge_both(self, real: Tensor, fake: Tensor, data: Batch) -> tuple[Tensor, Tensor]:
        """What the discriminator says of real and of generated pictures, each `[N]`."""
        net = self.nets["discriminator"]
        views = [self._view(real, data, "real"), self._view(fake, data, "fake")]
        if self.normalises_batches:
            d_real, d_fake = (self._judge(net, view, data.y) for view in views)
            return d_real, d_fake
        labels = None if data.y is None else torch.cat([data.y, data.y])
        d_real, d_fake = self._judge(net, torch.cat(views), labels).chunk(2)
        return d_real, d_fake

    def _judge(self, net: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        """What `net` says of `[N, C, H, W]`: `[N]`, in float32 at least."""
        with self.arithmetic.autocast():
            y = net(x, labels) if self.classes else net(x)
        return at_least_float32(y)[:, 0]

    def _view(self, x: Tensor, data: Batch, name: str) -> Tensor:
        """Pictures as the discriminator gets to see them."""
        return diffaugment(x, data.draws, name, self.preset.diffaugment)

    def _penalties(self, real: Tensor, fake: Tensor, data: Batch) -> dict[str, Tensor]:
        """The gradient penalties that the preset asks for, by name."""
        penalties = {}
        if weight := self.preset.gradient_penalty:
            t = data.draws.uniform("between", 1, 1, 1).to(real)
            slope = self._slope(real.lerp(fake, t), data).sqrt()
            penalties["loss_penalty"] = weight * (slope - 1).square().mean()  # WGAN-GP, equation 3
        for name, weight, x in (("loss_r1", self.preset.r1, real), ("loss_r2", self.preset.r2, fake)):
            if weight:
                penalties[name] = weight / 2 * self._slope(self._view(x, data, name), data).mean()
        return penalties

    def _slope(self, x: Tensor, data: Batch) -> Tensor:
        """|∇ₓ D(x)|² of each picture, `[N]`; differentiable once more."""
        x = x.detach().contiguous().requires_grad_(True)
        x = x.view_as(x)  # no leaf: PyTorch's FLOP counter cannot watch a module that one enters
        net = self.nets["discriminator"]
        y = net(x, data.y) if self.classes else net(x)
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return gradient.flatten(1).square().sum(1)

    # --- drawing --------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """float32 pictures `[N, C, H, W]` in [0, 1] on the CPU, of noise `[N, latent]` and labels `[N]`."""
        self.train_mode(False)
        device, dtype = self.arithmetic.device, self.arithmetic.dtype
        given = (latents.to(device, dtype),) if labels is None else (latents.to(device, dtype), labels.to(device))
        with self.arithmetic.autocast():
            return self.pictures(self.networks["generator"](*given))

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """A discriminator that has won, and a generator that draws one picture."""
        alarms = {}
        if (share := means["told_apart"]) > WON:
            alarms["discriminator won"] = f"the discriminator tells {share:.1%} apart, so the generator learns little."
        if (share := means["spread"]) < COLLAPSED:
            alarms["generator collapsed"] = f"generated pictures differ only {share:.1%} as much as real ones do."
        return alarms


COLLAPSED = 0.25  # spread of generated pictures, as a share of the real ones'


def discriminator_loss(kind: str, d_real: Tensor, d_fake: Tensor) -> Tensor:
    """What the discriminator minimises, of what it says `[N]` of real and of generated pictures."""
    match kind:
        case "bce":
            return _bce(d_real, 1.0) + _bce(d_fake, 0.0)
        case "wgan":
            return d_fake.mean() - d_real.mean()
        case "hinge":
            return F.relu(1 - d_real).mean() + F.relu(1 + d_fake).mean()
    return F.softplus(d_fake - d_real).mean()


def generator_loss(kind: str, d_fake: Tensor, d_real: Tensor | None = None) -> Tensor:
    """What the generator minimises; `d_real` is needed by the relativistic loss alone."""
    match kind:
        case "bce":
            return _bce(d_fake, 1.0)
        case "wgan" | "hinge":
            return -d_fake.mean()
    assert d_real is not None
    return F.softplus(d_real - d_fake).mean()


def _bce(probability: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy(probability, torch.full_like(probability, truth))


def told_apart(kind: str, d_real: Tensor, d_fake: Tensor) -> Tensor:
    """The share of pictures told apart: by a threshold where the loss has one, by pairs otherwise."""
    if kind in ("bce", "hinge"):
        threshold = 0.5 if kind == "bce" else 0.0
        return ((d_real > threshold).float().mean() + (d_fake < threshold).float().mean()) / 2
    return (d_real > d_fake).float().mean()


def relative_spread(fake: Tensor, real: Tensor) -> Tensor:
    """The spread of generated pictures as a share of the real ones'; 1 where the real ones are all alike, or one."""
    truth = spread(real)
    return torch.where(truth > 0, spread(fake) / truth.clamp_min(1e-12), torch.ones_like(truth))


def spread(x: Tensor) -> Tensor:
    """How much the pictures `[N, C, H, W]` of a batch differ: standard deviation over them, a mean over pixels."""
    small = F.adaptive_avg_pool2d(x.detach().float(), 8)
    return small.std(0, correction=0).mean()
