"""Diffusion: a plain loop, genshift, diffusers and denoising-diffusion-pytorch over the same U-Net.

The peers learn DDPM's 1,000 steps with a linear schedule and predict the noise; genshift learns what its preset says.
Both cost a pass and its gradient. What is each one's own: digits-diffusion steps by Muon, which costs more than the
peers' Adam; denoising-diffusion-pytorch's Trainer knows no labels, so its network is given none; both peers clip
gradients.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from beside.arms import Arm, Genshift, Loss
from beside.tasks import SEED, plain_networks
from genshift.diffusion.process import STEPS, linear_betas
from genshift.methods.base import CHUNK
from genshift.methods.schedules import Progress

NEVER = 10**9  # steps until a trainer would stop to draw and to save


class Denoiser(Arm):
    """What the arms share that are not genshift's: the network, and how noise is added."""

    def build(self) -> None:
        self.networks = plain_networks(self.task)
        self.net = self.networks["unet"]
        self.abar = linear_betas().abar[1:].float()  # of the steps 0 … 999 as the peers count them
        self.set_up()

    def set_up(self) -> None:
        """Makes the loop."""
        raise NotImplementedError

    def first_step(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first pictures with their labels, and noise and steps that are the same for all."""
        x, y = self.first("data")
        generator = torch.Generator().manual_seed(SEED)
        return x, y, torch.randn(x.shape, generator=generator), torch.randint(STEPS, (len(x),), generator=generator)

    def expected_loss(self, labels: bool = True) -> float:
        """The noise's squared error by plain PyTorch."""
        x, y, eps, t = self.first_step()
        a = self.abar[t][:, None, None, None]
        net = copy.deepcopy(self.net).train()
        answer = net(a.sqrt() * x + (1 - a).sqrt() * eps, t.float(), y if labels else None)
        return F.mse_loss(answer, eps).item()

    def adam(self) -> torch.optim.Optimizer:
        """The optimizer of a plain loop."""
        return torch.optim.AdamW(self.net.parameters(), lr=3e-4)


class Plain(Denoiser):
    """DDPM's Algorithm 1 as a tutorial writes it, a loss read back in every step."""

    def set_up(self) -> None:
        self.optimizer, self.data = self.adam(), self.loader("data")

    def loss(self, x: Tensor, y: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        a = self.abar[t][:, None, None, None]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            answer = self.net(a.sqrt() * x + (1 - a).sqrt() * eps, t.float(), y)
        return F.mse_loss(answer.float(), eps)

    def run(self, steps: int) -> None:
        self.net.train()
        for _ in range(steps):
            x, y = next(self.data)
            y = y.masked_fill(torch.rand(len(y)) < self.preset.label_dropout, -1)
            loss = self.loss(x, y, torch.randn_like(x), torch.randint(STEPS, (len(x),)))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()

    def first_loss(self) -> Loss:
        return Loss(self.loss(*self.first_step()).item(), self.expected_loss())

    @torch.no_grad()
    def draw(self, count: int, passes: int) -> Tensor:
        """DDIM in as many steps as passes."""
        self.net.eval()
        side = self.preset.size
        x, y = torch.randn(count, 3, side, side), torch.arange(count) % 10
        steps = torch.linspace(STEPS - 1, 0, passes).long().tolist()
        for now, then in zip(steps, [*steps[1:], -1], strict=True):
            a, b = self.abar[now], self.abar[then] if then >= 0 else torch.tensor(1.0)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                eps = self.net(x, torch.full((count,), float(now)), y).float()
            x = b.sqrt() * (x - (1 - a).sqrt() * eps) / a.sqrt() + (1 - b).sqrt() * eps
        return x


class OurDiffusion(Genshift):
    """genshift's step, and its own sampler without guidance."""

    def first_loss(self) -> Loss:
        batches = self.first_batches()
        data, method = batches["data"], self.method
        t = method.process.times(data.draws.spread("t").double())
        alpha, sigma = (rate.float()[:, None, None, None] for rate in method.process.rates(t))
        eps = data.draws.normal("eps", *data.x.shape[1:])
        straight = self.preset.process == "flow"
        target = eps - data.x if straight else eps
        left_out = data.draws.uniform("label") < self.preset.label_dropout
        net = plain_networks(self.task)["unet"]
        assert data.y is not None
        labels = data.y.masked_fill(left_out, -1)
        answer = net(alpha * data.x + sigma * eps, method.process.time_input(t).float(), labels)
        told = method.step(batches, Progress(0, self.total))
        return Loss(told["loss"].item(), F.mse_loss(answer, target).item())

    def draw(self, count: int, passes: int) -> Tensor:
        """UniPC in as many steps as passes; pictures are drawn in chunks of CHUNK."""
        assert count % CHUNK == 0
        how = dataclasses.replace(
            self.method.sampling, sampler="unipc", steps=passes, guide="unconditional", guidance=1.0, skip=0.0
        )
        self.method.sampling = how
        pictures = self.method.sample(count, SEED)
        assert self.method.evaluations == passes
        return pictures


# --- diffusers --------------------------------------------------------------------------------------------------------


class Answering(nn.Module):
    """A U-Net that answers as diffusers' models do."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None) -> Any:
        return SimpleNamespace(sample=self.net(x, t.float().expand(len(x)), class_labels))


class Diffusers(Denoiser):
    """The loop of diffusers' own example of unconditional training, with labels: accelerate, AdamW, a cosine schedule,
    clipped gradients and a moving average."""

    def set_up(self) -> None:
        from accelerate import Accelerator
        from diffusers import DDPMScheduler
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        self.accelerator = Accelerator(mixed_precision="bf16" if self.bfloat16 else "no", cpu=True)
        self.scheduler = DDPMScheduler(num_train_timesteps=STEPS, beta_schedule="linear")
        model = Answering(self.net)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
        schedule = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=500, num_training_steps=NEVER)
        self.model, self.optimizer, self.schedule = self.accelerator.prepare(model, optimizer, schedule)
        self.average = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self.data = self.loader("data")

    def loss(self, x: Tensor, y: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        noisy = self.scheduler.add_noise(x, eps, t)
        return F.mse_loss(self.model(noisy, t, y).sample.float(), eps)

    def run(self, steps: int) -> None:
        self.model.train()
        for _ in range(steps):
            x, y = next(self.data)
            y = y.masked_fill(torch.rand(len(y)) < self.preset.label_dropout, -1)
            with self.accelerator.accumulate(self.model):
                loss = self.loss(x, y, torch.randn_like(x), torch.randint(STEPS, (len(x),)))
                self.accelerator.backward(loss)
                self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                self.schedule.step()
                self.optimizer.zero_grad()
            self.average.step(self.model.parameters())
            loss.detach().item()

    def first_loss(self) -> Loss:
        return Loss(self.loss(*self.first_step()).item(), self.expected_loss())

    @torch.no_grad()
    def draw(self, count: int, passes: int) -> Tensor:
        """UniPC of diffusers."""
        from diffusers import UniPCMultistepScheduler

        self.model.eval()
        scheduler = UniPCMultistepScheduler.from_config(self.scheduler.config)
        scheduler.set_timesteps(passes)
        side = self.preset.size
        x, y = torch.randn(count, 3, side, side), torch.arange(count) % 10
        assert len(scheduler.timesteps) == passes
        for t in scheduler.timesteps:
            x = scheduler.step(self.model(x, t, y).sample.float(), t, x).prev_sample
        return x


# --- denoising-diffusion-pytorch --------------------------------------------------------------------------------------


class Channelled(nn.Module):
    """A U-Net with what denoising-diffusion-pytorch asks of one."""

    channels = out_dim = 3
    self_condition = random_or_learned_sinusoidal_cond = False

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor, x_self_cond: Tensor | None = None) -> Tensor:
        return self.net(x, t.float(), None)


class DenoisingDiffusion(Denoiser):
    """denoising-diffusion-pytorch's Trainer; its loader reads the folder, or its batches lie ready."""

    def set_up(self) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion, Trainer

        self.diffusion = GaussianDiffusion(
            Channelled(self.net), image_size=self.preset.size, timesteps=STEPS, objective="pred_noise",
            beta_schedule="linear", sampling_timesteps=self.preset_passes,
        )  # fmt: skip
        self.scratch = tempfile.TemporaryDirectory()
        folder = self.pictures["data"].folder or few_files(Path(self.scratch.name) / "files", self.preset.size)
        self.trainer = Trainer(
            self.diffusion, str(folder), train_batch_size=self.batch, train_num_steps=0, save_and_sample_every=NEVER,
            calculate_fid=False, augment_horizontal_flip=False, results_folder=self.scratch.name, amp=self.bfloat16,
            mixed_precision_type="bf16",
        )  # fmt: skip
        if not self.from_files:
            self.trainer.dl = self.ready_batches()

    preset_passes = 12  # DDIM's steps; a trainer is made with them

    def ready_batches(self) -> Iterator[Tensor]:
        """Pictures in [0, 1]; they are normalised by the model."""
        return cycle([x * self.preset.std + self.preset.mean for x, _ in self.ready("data")])

    def run(self, steps: int) -> None:
        self.trainer.train_num_steps += steps
        self.trainer.train()

    def first_loss(self) -> Loss:
        x, _, eps, t = self.first_step()
        own = self.diffusion.train().p_losses(x, t, noise=eps)
        return Loss(own.item(), self.expected_loss(labels=False))

    @torch.no_grad()
    def draw(self, count: int, passes: int) -> Tensor:
        """Its DDIM, of the moving average's model."""
        sampler = self.trainer.ema.ema_model.eval()
        sampler.sampling_timesteps = passes
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return sampler.sample(batch_size=count)


def few_files(folder: Path, side: int) -> Path:
    """A hundred files, without which the Trainer does not start; it never reads them."""
    from PIL import Image

    folder.mkdir()
    for number in range(100):
        Image.new("RGB", (side, side)).save(folder / f"{number}.png")
    return folder


def in_bfloat16(arm: type[Arm]) -> type[Arm]:
    """The same arm under its own bfloat16."""
    return type(f"{arm.__name__}BFloat16", (arm,), {"bfloat16": True})


_OWN: dict[str, type[Arm]] = {
    "plain": Plain,
    "diffusers": Diffusers,
    "denoising-diffusion-pytorch": DenoisingDiffusion,
}
ARMS: dict[str, type[Arm]] = {
    "genshift": OurDiffusion,
    **_OWN,
    **{f"{name}-bfloat16": in_bfloat16(arm) for name, arm in _OWN.items()},
}
