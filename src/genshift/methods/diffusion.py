"""Denoising diffusion models (Ho, Jain and Abbeel 2020, arXiv 2006.11239), of any process, prediction and weight."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from genshift.data.feed import Batch
from genshift.diffusion.guidance import Guidance, Guided
from genshift.diffusion.process import PROCESSES, Levels, Parametrisation, levels, weight
from genshift.diffusion.samplers import SAMPLERS, Sampler, State, ddim
from genshift.errors import Refusal
from genshift.methods.base import CHUNK, GeneratorMethod, at_least_float32
from genshift.methods.schedules import Progress, make_optimizer
from genshift.nets.unet import Dropout
from genshift.presets import Diffusion, Sampling


class DiffusionMethod(GeneratorMethod):
    """A network that learns to tell the picture in a noisy one, and draws by taking the noise away step by step.

    `sampling` says how it draws. `weak` is a worse network of the same kind, for autoguidance.
    """

    draws = ("data",)
    preset: Diffusion
    weak: nn.Module | None = None

    def set_up(self) -> None:
        preset = self.preset
        self.process = PROCESSES[preset.process]()
        straight = preset.process == "flow" and preset.predict == "v"
        self.parametrisation = Parametrisation("velocity" if straight else preset.predict)
        self.sampling: Sampling = preset.sampling()
        parameters = self.networks["unet"].parameters()
        self.optimizers = {"unet": make_optimizer(preset.optimizer, parameters, preset.lr, preset.weight_decay)}
        self.evaluations = 0.0  # network passes a picture, of the last drawing

    @classmethod
    def inputs(
        cls, name: str, pictures: Tensor, outputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Noisy pictures, their times, and labels of a conditional model."""
        times = pictures.new_ones(len(pictures))
        return (pictures, times) if labels is None else (pictures, times, labels)

    # --- learning ---------------------------------------------------------------------------------------------------

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on the images "data": Algorithm 1 of the DDPM paper, where process and prediction are its own."""
        data = batch["data"]
        x_0 = at_least_float32(data.x)
        t = self.process.times(data.draws.spread("t").double())
        alpha, sigma = self.process.rates(t)
        eps = data.draws.normal("eps", *x_0.shape[1:]).to(x_0)
        x_t = _times(alpha, x_0) + _times(sigma, eps)
        _, b, c = self.parametrisation.coefficients(alpha, sigma)
        p, q = self.parametrisation.target(alpha, sigma)
        # Each dropout layer gets random numbers of this step's.
        layers = [layer for layer in self.networks["unet"].modules() if isinstance(layer, Dropout)]
        for number, layer in enumerate(layers):
            layer.uniform = functools.partial(data.draws.uniform, f"dropout {number}")
        # Each image's label is left out (-1) with the preset's probability.
        labels = None
        if self.classes:
            assert data.y is not None
            left_out = data.draws.uniform("label") < self.preset.label_dropout
            labels = data.y.masked_fill(left_out.to(data.y.device), -1)
        answer = self._answer(self.nets["unet"], _times(c, x_t), t, labels)
        errors = (answer - _times(p, x_0) - _times(q, eps)).square().mean((1, 2, 3))
        loss = (weight(self.preset.weighting, self.preset.gamma, b, alpha, sigma).to(errors) * errors).mean()
        self.optimizers["unet"].zero_grad(set_to_none=True)
        loss.backward()
        with self.arithmetic.autocast():  # Muon's matrix products are as fast as the network's
            self.optimizers["unet"].step()
        return {"loss": loss.detach(), "loss_image": (b.to(errors).square() * errors.detach()).mean()}

    def _answer(self, net: nn.Module, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        x = x.contiguous(memory_format=self.arithmetic.memory_format)
        time_input = self.process.time_input(t).to(x)
        with self.arithmetic.autocast():
            return at_least_float32(net(x, time_input, y))

    # --- drawing ----------------------------------------------------------------------------------------------------

    def draw(self, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """As `GeneratorMethod.draw`; label -1 stands for none."""
        for state in self.reverse(generator, labels):
            last = state.x
        return self.pictures(last)

    def reverse(
        self, generator: torch.Generator, labels: Tensor | None = None, rows: slice = slice(None)
    ) -> Iterator[State]:
        """The states of the reverse process of CHUNK pictures, or of `rows` of them alone, one after each step, in the
        pixel rule's range.

        Raises Refusal for guidance that the run cannot give.
        """
        self.train_mode(False)
        labels = None if labels is None else labels[rows].to(self.arithmetic.device)
        guided = self.guided(labels, generator, self.ladder)
        x = self.noise(generator)[rows] * guided.levels.sigma[0].item()
        yield from self.sampler(guided, x, guided.levels, lambda: self.noise(generator)[rows])
        self.evaluations = guided.evaluations

    @property
    def ladder(self) -> Levels:
        """The noise levels that it climbs down."""
        return levels(self.process, self.sampling.steps, self.sampling.spacing)

    @property
    def sampler(self) -> Sampler:
        """How it takes noise away."""
        how = self.sampling
        return functools.partial(ddim, eta=how.eta) if how.sampler == "ddim" else SAMPLERS[how.sampler]

    @property
    def drawing_network(self) -> nn.Module:
        """The network that draws, of (x, times, labels)."""
        return self.networks["unet"]

    def guided(self, labels: Tensor | None, coin: torch.Generator, ladder: Levels) -> Guided:
        """Its guided predictions at the levels of `ladder`, for labels int64 `[N]`; `coin` says which steps leave
        guidance out. Refusal where the early state that guides is not there."""
        how = self.sampling
        if how.by_weak and self.weak is None:
            raise Refusal("This run kept no early state to guide away from: give --guide unconditional.")
        return Guided(
            functools.partial(self._predict, self.drawing_network, ladder.time),
            self._guidance(), ladder, labels, coin,
            None if self.weak is None or not how.by_weak else functools.partial(self._predict, self.weak, ladder.time),
            how.by_label,
        )  # fmt: skip

    def _guidance(self) -> Guidance:
        how = self.sampling
        if how.by_label and not self.classes:
            return Guidance()
        return Guidance(how.guidance, how.guidance_from, how.guidance_to, how.skip)

    def noise(self, generator: torch.Generator) -> Tensor:
        """N(0, I), `[CHUNK, C, H, W]`; times the first level's σ, what the reverse process starts from."""
        shape = (CHUNK, self.rule.channels, self.preset.size, self.preset.size)
        dtype = torch.float64 if self.arithmetic.dtype == torch.float64 else torch.float32
        return torch.randn(shape, generator=generator).to(self.arithmetic.device, dtype)

    @torch.inference_mode()
    def _predict(self, net: nn.Module, time: Tensor, x: Tensor, i: int, labels: Tensor | None) -> Tensor:
        """The picture that a network sees in x at level i."""
        t = time[i].expand(len(x))
        a, b, c = (rate[0].item() for rate in self.parametrisation.coefficients(*self.process.rates(t)))
        x_0 = a * x + b * self._answer(net, c * x, t, labels)
        low, high = (0 - self.rule.mean) / self.rule.std, (1 - self.rule.mean) / self.rule.std
        return x_0.clamp(low, high) if self.sampling.clip == "on" else x_0


def _times(rate: Tensor, x: Tensor) -> Tensor:
    """A number for each image, times the images `[N, C, H, W]`."""
    return rate.to(x)[:, None, None, None] * x
