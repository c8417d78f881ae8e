"""Trains one arm of `benchmarks/quality.py` for its minutes: `python -m beside.learners JSON`.

genshift's arms are its own runs. A peer's learner counts the seconds of its steps alone, goes by the share of them that
is spent, and keeps what going on needs; so it can be stopped anywhere. All peers are given genshift's batches, ready as
float tensors, and a learning rate that falls by a cosine over the minutes.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from beside.adaptation import Odds, as_batch
from genshift import device, presets
from genshift.data.augment import Augment
from genshift.data.batches import seed_of
from genshift.data.feed import Batch, Feed, PixelNormalization
from genshift.evaluation.evaluate import with_observers
from genshift.methods import networks_of
from genshift.methods.schedules import dann_lambda
from genshift.presets import Preset
from genshift.runs import checkpoint
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.training.train import Settings, train
from genshift.training.training_data import open_training_data

POINTS = 6  # of a curve, evenly over the minutes
CLASSES = 10
KEEP_EVERY = 60.0  # seconds of training between two states that a killed one goes on from
STATE = "state.safetensors"


@dataclass(frozen=True)
class Contest:
    """What two arms learn, from which preset's data, and in how many minutes."""

    title: str
    preset: str  # genshift's, whose data and size the peer is given
    minutes: float
    peer: str
    judge: str = ""  # digits or faces; of an adaptation the target's labels judge


CONTESTS = {
    "mnistm-svhn": Contest("MNIST-M → SVHN", "adamatch-im-mnistm-svhn", 10, "pytorch-adapt"),
    "usps-mnistm": Contest("USPS → MNIST-M", "adamatch-im-usps-mnistm", 10, "pytorch-adapt"),
    "digits": Contest("digits of MNIST-M", "digits-diffusion", 30, "diffusers", "digits"),
    "faces": Contest("faces", "faces-gan", 30, "denoising-diffusion-pytorch", "faces"),
}


def train_ours(contest: Contest, out: Path, asked: Mapping[str, Any]) -> None:
    """A run of genshift's, with a checkpoint at each point of the curve."""
    settings = Settings(
        seed=asked["seed"], minutes=asked["minutes"], threads=asked["threads"], keep=POINTS + 2, checks=POINTS,
        data_root=Path(asked["data_root"]),
    )  # fmt: skip
    preset = presets.get(contest.preset)
    train(preset, out, with_observers(RunFolder(out), preset, settings))


# --- peers ------------------------------------------------------------------------------------------------------------


class Learner:
    """A peer's networks and its step. `networks` are what a state holds, `answering` those that are judged."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    lr: float

    def __init__(self, preset: Any) -> None:
        self.preset = preset
        self.set_up()

    def set_up(self) -> None:
        """Makes networks and optimizers."""
        raise NotImplementedError

    def step(self, batch: Mapping[str, Batch], share: float) -> None:
        """One step, when that share of the minutes is spent."""
        raise NotImplementedError

    @property
    def answering(self) -> dict[str, nn.Module]:
        """The networks that a point of the curve keeps."""
        return self.networks

    def schedule(self, share: float) -> None:
        """Sets the learning rates."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


class PytorchAdapt(Learner):
    """pytorch-adapt's DANN over genshift's backbone, at the learning rate and batches of genshift's study."""

    lr = 1e-3

    def set_up(self) -> None:
        from pytorch_adapt import adapters
        from pytorch_adapt.containers import Models, Optimizers
        from pytorch_adapt.hooks import GradientReversalHook
        from pytorch_adapt.weighters import SumWeighter

        parts = networks_of(self.preset, CLASSES)
        self.networks = {"G": parts["extractor"], "C": parts["predictor"], "D": Odds(parts["domain"])}
        reversal = GradientReversalHook(weight=1.0, apply_to=["src_imgs_features", "target_imgs_features"])
        self.reversal = reversal.fn
        self.adapter = adapters.DANN(
            models=Models(dict(self.networks)), optimizers=Optimizers((torch.optim.AdamW, {"lr": self.lr})),
            hook_kwargs={"weighter": SumWeighter(), "gradient_reversal": reversal},
        )  # fmt: skip
        self.optimizers = dict(self.adapter.optimizers)

    def step(self, batch: Mapping[str, Batch], share: float) -> None:
        self.reversal.update_weight(dann_lambda(share))
        self.adapter.models.train()
        source = batch["source"]
        assert source.y is not None
        self.adapter.training_step(as_batch(source.x, source.y, batch["target"].x))


class Diffusers(Learner):
    """diffusers' UNet2DModel with classes, its DDPM schedule, EMAModel and, in accelerate's stead, bfloat16 autocast.
    Labels are left out for a tenth, so that pictures can be drawn with guidance."""

    lr = 4e-4
    none = CLASSES  # the label of pictures without one

    def set_up(self) -> None:
        from diffusers import DDPMScheduler, UNet2DModel
        from diffusers.training_utils import EMAModel

        self.net = UNet2DModel(
            sample_size=self.preset.size, block_out_channels=(64, 128, 128), layers_per_block=2,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), num_class_embeds=CLASSES + 1,
        )  # fmt: skip
        self.noise = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
        self.average = EMAModel(self.net.parameters(), decay=0.999, use_ema_warmup=True, power=0.75)
        self.averaged = type(self.net).from_config(self.net.config)
        self.networks = {"unet": self.net, "averaged": self.averaged}
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=self.lr, betas=(0.95, 0.999), weight_decay=1e-6)
        self.optimizers = {"unet": optimizer}
        self.steps = 0

    @property
    def answering(self) -> dict[str, nn.Module]:
        self.average.copy_to(self.averaged.parameters())
        return {"averaged": self.averaged}

    def step(self, batch: Mapping[str, Batch], share: float) -> None:
        data = batch["data"]
        assert data.y is not None
        y = data.y.masked_fill(torch.rand(len(data.y)) < 0.1, self.none)
        eps, t = torch.randn_like(data.x), torch.randint(1000, (len(data.x),))
        self.net.train()
        with in_bfloat16():
            answer = self.net(self.noise.add_noise(data.x, eps, t), t, y).sample
        loss = nn.functional.mse_loss(answer.float(), eps)
        self.optimizers["unet"].zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizers["unet"].step()
        self.average.step(self.net.parameters())

    def restored(self, steps: int) -> None:
        """Puts the moving average where its copy was saved."""
        self.average.shadow_params = [p.detach().clone() for p in self.averaged.parameters()]
        self.average.optimization_step = steps


class DenoisingDiffusion(Learner):
    """denoising-diffusion-pytorch's own Unet, its GaussianDiffusion as it comes, and its moving average."""

    lr = 3e-4

    def set_up(self) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from ema_pytorch import EMA

        self.net = GaussianDiffusion(Unet(dim=32, dim_mults=(1, 2, 4, 8)), image_size=self.preset.size)
        self.average = EMA(self.net, beta=0.995, update_every=10, include_online_model=False)
        self.networks = {"diffusion": self.net, "average": self.average}
        self.optimizers = {"unet": torch.optim.Adam(self.net.parameters(), lr=self.lr, betas=(0.9, 0.99))}

    @property
    def answering(self) -> dict[str, nn.Module]:
        return {"averaged": self.average.ema_model}

    def step(self, batch: Mapping[str, Batch], share: float) -> None:
        self.net.train()
        with in_bfloat16():
            loss = self.net(batch["data"].x * self.preset.std + self.preset.mean)
        self.optimizers["unet"].zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizers["unet"].step()
        self.average.update()


LEARNERS: dict[str, type[Learner]] = {
    "pytorch-adapt": PytorchAdapt,
    "diffusers": Diffusers,
    "denoising-diffusion-pytorch": DenoisingDiffusion,
}


def in_bfloat16() -> torch.autocast:
    """bfloat16 where this CPU multiplies it in hardware."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(device.bfloat16_units()))


def data_preset(contest: Contest) -> Preset:
    """The preset that says what a peer sees: of an adaptation DANN's at the same two sets."""
    if contest.peer == "pytorch-adapt":
        return presets.get(contest.preset.replace("adamatch-im", "dann"))
    return presets.get(contest.preset)


def feed_of(preset: Any, data_root: Path, seed: int) -> Feed:
    """Its batches as genshift makes them, in float32."""
    arithmetic = device.choose_arithmetic("float32", torch.device("cpu"))
    parts = open_training_data(preset, data_root).parts
    augment = Augment(preset.flip, preset.rotate, preset.shift, preset.scale, preset.recolour, preset.strong)
    return Feed(parts, PixelNormalization(preset.mean, preset.std), arithmetic, seed, augment=augment)


def train_peer(contest: Contest, out: Path, asked: Mapping[str, Any]) -> None:
    """To the end of the minutes, from wherever `out` stands."""
    out.mkdir(parents=True, exist_ok=True)
    preset = data_preset(contest)
    torch.manual_seed(seed_of("quality", asked["seed"]))
    learner, feed = LEARNERS[contest.peer](preset), feed_of(preset, Path(asked["data_root"]), asked["seed"])
    steps, seconds = restore(learner, out / STATE)
    budget, kept_at = 60 * asked["minutes"], seconds
    while seconds < budget:
        torch.manual_seed(seed_of("quality", asked["seed"], steps))  # so that nothing but the count is to be kept
        batch = feed.at(steps * feed.batch)
        began = time.perf_counter()
        learner.schedule(seconds / budget)
        learner.step(batch, seconds / budget)
        before, seconds, steps = seconds, seconds + time.perf_counter() - began, steps + 1
        point = int(seconds / budget * POINTS)
        if point > int(before / budget * POINTS):
            save_point(learner, out, min(point, POINTS), steps * feed.batch, seconds)
        if seconds - kept_at >= KEEP_EVERY or seconds >= budget:
            kept_at = seconds
            save_state(learner, out / STATE, steps, seconds)


def save_point(learner: Learner, out: Path, point: int, images: int, seconds: float) -> None:
    """The networks that answer, at a point of the curve."""
    tensors = checkpoint.pack_networks(learner.answering)
    checkpoint.save(out / f"point-{point}.safetensors", Checkpoint(tensors, {"images": images, "seconds": seconds}))


def save_state(learner: Learner, path: Path, steps: int, seconds: float) -> None:
    """All that going on needs."""
    _ = learner.answering  # a moving average that lies elsewhere is copied into its network
    tensors = checkpoint.pack_networks(learner.networks)
    for name, optimizer in learner.optimizers.items():
        tensors |= checkpoint.pack_optimizer(name, optimizer)
    checkpoint.save(path, Checkpoint(tensors, {"steps": steps, "seconds": seconds}))


def restore(learner: Learner, path: Path) -> tuple[int, float]:
    """Steps and seconds of what was saved, which the learner then holds; (0, 0) where there is nothing."""
    if not path.exists():
        return 0, 0.0
    state = checkpoint.load(path)
    checkpoint.unpack_networks(state.tensors, learner.networks, path)
    for name, optimizer in learner.optimizers.items():
        checkpoint.unpack_optimizer(name, optimizer, state.tensors)
    if isinstance(learner, Diffusers):
        learner.restored(state.about["steps"])
    return state.about["steps"], state.about["seconds"]


def normalised(preset: Any, images: Tensor) -> Tensor:
    """uint8 pictures as a peer's network sees them."""
    arithmetic = device.choose_arithmetic("float32", torch.device("cpu"))
    return PixelNormalization(preset.mean, preset.std)(images, arithmetic)


def main() -> None:
    """Trains; the last line says that it is done."""
    asked = json.loads(sys.argv[1])
    contest, out = CONTESTS[asked["contest"]], Path(asked["out"])
    device.prepare_process(asked["threads"], torch.device("cpu"))
    (train_ours if asked["arm"] == "genshift" else train_peer)(contest, out, asked)
    print(json.dumps({"done": True}))


if __name__ == "__main__":
    main()
