"""VAE: a plain loop, genshift and pythae over hw3's printed networks.

What is each one's own: pythae sums its errors over pixels; it has no mixed precision on a CPU. Its copy of the best
model after every epoch is left out. The plain loop and genshift weigh means, as hw3 does.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from beside.arms import Arm, Genshift, Loss
from beside.tasks import SEED, plain_networks
from genshift.methods.schedules import Progress
from genshift.methods.vae import hw3_lambda, kl_elements


class Plain(Arm):
    """The report's loop: float32, NCHW, Adam, a loss read back in every step."""

    def build(self) -> None:
        self.networks = plain_networks(self.task)
        parameters = [p for net in self.networks.values() for p in net.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=self.preset.lr)
        self.data = self.loader("data")

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        mean, logvar = self.networks["encoder"](x)
        y = self.networks["decoder"](mean + (0.5 * logvar).exp() * noise)
        mse = F.mse_loss(y, x)
        return mse + hw3_lambda(mse.detach()) * kl_elements(mean, logvar).mean()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            x, _ = next(self.data)
            loss = self.loss(x, torch.randn(len(x), self.preset.latent))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()

    def first_loss(self) -> Loss:
        x, _ = self.first("data")
        noise = torch.randn(len(x), self.preset.latent, generator=torch.Generator().manual_seed(SEED))
        expected = reference(self, x, noise, summed=False)
        return Loss(self.loss(x, noise).item(), expected)

    @torch.no_grad()
    def draw(self, count: int, passes: int) -> Tensor:
        """Latent vectors, decoded all at once."""
        return self.networks["decoder"].eval()(torch.randn(count, self.preset.latent))


def reference(arm: Arm, x: Tensor, noise: Tensor, summed: bool) -> float:
    """The loss by plain PyTorch: means over elements as hw3 weighs them, or sums as pythae does."""
    nets = {name: copy.deepcopy(net).train() for name, net in plain_networks(arm.task).items()}
    mean, logvar = nets["encoder"](x)
    y = nets["decoder"](mean + (0.5 * logvar).exp() * noise)
    errors, kl = (y - x).square(), kl_elements(mean, logvar)
    if summed:
        return (0.5 * errors.sum((1, 2, 3)) + kl.sum(1)).mean().item()
    return (errors.mean() + hw3_lambda(errors.mean()) * kl.mean()).item()


class OurVAE(Genshift):
    """genshift's step."""

    def first_loss(self) -> Loss:
        batches = self.first_batches()
        data = batches["data"]
        noise = data.draws.normal("eps", self.preset.latent)
        expected = reference(self, data.x, noise, summed=False)
        return Loss(self.method.step(batches, Progress(0, self.total))["loss"].item(), expected)

    def draw(self, count: int, passes: int) -> Tensor:
        """Its own pictures, in chunks."""
        return self.method.sample(count, SEED)


class Pythae(Arm):
    """pythae's trainer, an epoch of whose data set makes the steps; it takes tensors in memory."""

    def build(self) -> None:
        from pythae.models import VAE, VAEConfig
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        logging.getLogger("pythae").setLevel(logging.ERROR)
        self.networks = plain_networks(self.task)
        side = self.preset.size
        config = VAEConfig(input_dim=(3, side, side), latent_dim=self.preset.latent, reconstruction_loss="mse")
        self.model = VAE(config, *wrapped(self.networks, self.preset.latent))
        self.x = self.pictures["data"].floats(self.preset)
        self.scratch = tempfile.TemporaryDirectory()
        how = BaseTrainerConfig(
            output_dir=self.scratch.name, num_epochs=1, per_device_train_batch_size=self.batch, no_cuda=True,
            learning_rate=self.preset.lr,
        )  # fmt: skip
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.trainer = BaseTrainer(self.model, self.data_of(1), training_config=how)
        self.model.load_state_dict(before)  # its trial pass moved BatchNorm's statistics
        self.trainer.prepare_training()

    def data_of(self, steps: int) -> Any:
        """A data set of so many steps."""
        from pythae.data.datasets import BaseDataset

        rows = torch.arange(steps * self.batch) % len(self.x)
        return BaseDataset(self.x[rows], torch.ones(len(rows)))

    def run(self, steps: int) -> None:
        # An epoch of its `train`, without what that does once: a copy of the best model, and files of it.
        self.trainer.train_loader = self.trainer.get_train_dataloader(self.data_of(steps))
        self.trainer.train_step(1)

    def first_loss(self) -> Loss:
        x, _ = self.first("data")
        torch.manual_seed(SEED)
        noise = torch.randn(len(x), self.preset.latent)
        expected = reference(self, x, noise, summed=True)
        torch.manual_seed(SEED)  # pythae draws its noise by torch's own generator
        return Loss(self.model.train()({"data": x}).loss.item(), expected)

    def draw(self, count: int, passes: int) -> Tensor:
        """Its sampler of N(0, I)."""
        from pythae.samplers import NormalSampler

        self.model.eval()
        return NormalSampler(self.model).sample(num_samples=count, batch_size=count)


def wrapped(networks: Any, latent: int) -> tuple[Any, Any]:
    """The encoder and the decoder as pythae wants them."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.latent_dim = networks["encoder"], latent

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.net(x)
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = networks["decoder"]

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z))

    return Encoder(), Decoder()


ARMS: dict[str, type[Arm]] = {"plain": Plain, "genshift": OurVAE, "pythae": Pythae}
