"""What every method offers the loop and the user."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genshift.data.batches import seed_of
from genshift.data.feed import Batch, PixelNormalization, TrainingSet
from genshift.data.imageset import ImageSet
from genshift.device import Arithmetic
from genshift.errors import Refusal
from genshift.methods.schedules import Progress, make_optimizer
from genshift.metrics.binomial import standard_error
from genshift.nets.backbone import Adversary, BackboneParts
from genshift.nets.layers import in_domain
from genshift.nets.pretrained import PretrainedBackbone
from genshift.presets import Adaptation, BenchmarkPreset, Classifier, Generator, LatentGenerator, Preset

EVALUATION_BATCH = 500
CROSS_FITS = 5  # parts of a small source, each answered by what was learnt from the others
CHUNK = 50  # pictures drawn at a time, always
WON = 0.99  # share told apart by a discriminator, over a reading, above which it has won

Domain = Literal["source", "target"]


class KeptFeatures(Protocol):
    """Features of pictures by their contents, kept between commands, and which weights they are of."""

    def read(self, weights: str) -> dict[bytes, Tensor]:
        """Those of these weights, float32 `[D]` each; none where there are none."""

    def write(self, weights: str, features: Mapping[bytes, Tensor]) -> None:
        """Keeps these in the place of all others, where this process may write."""


class Method:
    """How networks learn: losses and one optimisation step; and how a learnt model answers.

    `networks` are the modules whose state is saved. `nets` are what a step calls: the same modules, or their
    data-parallel wrappers. `draws` names the sets that a step draws from. `optimizers` are stepped by the method; the
    loop schedules each one's learning rate from what it was made with. `classes` is the number of what is learnt
    beside the pictures. `phases` are the shares of the budget at which a step begins to cost otherwise.
    """

    draws: tuple[str, ...]
    kept: KeptFeatures | None = None  # where features that are computed once stay for later commands
    phases: tuple[float, ...] = (0.0,)
    optimizers: dict[str, Optimizer]

    def __init__(
        self,
        preset: Preset,
        networks: dict[str, nn.Module],
        classes: int,
        rule: PixelNormalization,
        arithmetic: Arithmetic,
    ) -> None:
        self.preset, self.classes = preset, classes
        self.networks, self.nets = networks, dict(networks)
        self.rule, self.arithmetic = rule, arithmetic
        self.set_up()

    def set_up(self) -> None:
        """Makes the optimizers, and whatever else steps need, once."""
        raise NotImplementedError

    def begin(self, parts: Mapping[str, TrainingSet]) -> None:
        """Shows the sets that steps will draw from, once, before the first step (the target's is without labels)."""

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One optimisation step; scalars that stay on the device."""
        raise NotImplementedError

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """Measures on held-out images, by name; the first one chooses the best checkpoint (larger is better), and
        "error", where given, is its standard error. Empty where there is nothing to measure them by."""
        return {}

    @classmethod
    def inputs(
        cls, name: str, pictures: Tensor, outputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[Tensor, ...]:
        """What the network of that name takes where `pictures` float `[N, C, H, W]`, and `labels` int64 `[N]` of a
        conditional model, pass through all of them; `outputs` are those of the networks before it."""
        raise NotImplementedError

    def start_from_pretrained(self) -> None:
        """Before the first step: loads weights that a network of the preset is to start from, where it names any."""

    def learn_by(self, teacher: Any) -> None:
        """Gives a method whose preset has a `teacher` what it learns by: a diffusion model, or a classifier's feature
        maps of pictures in the method's pixel rule."""
        raise NotImplementedError

    def train_mode(self, on: bool) -> None:
        """Puts every network in training or evaluation mode."""
        for net in self.networks.values():
            net.train(on)

    def alarms(self, means: Mapping[str, float]) -> dict[str, str]:
        """What is going wrong, by the means of a reading's scalars: a short name, and a clause that ends in a stop."""
        return {}


class GeneratorMethod(Method):
    """A method whose model draws pictures."""

    preset: Generator
    # `classes` is 0 where pictures are drawn of any class.

    def sample(self, count: int, seed: int, first: int = 0, label: int | None = None) -> Tensor:
        """Pictures number `first` to `first + count - 1` of the series that `seed` names: uint8 `[count, C, H, W]`.

        Picture i is a function of (seed, i, label) alone: pictures are always computed in the same chunks, on a CPU by
        one thread each, so that not even a rounding depends on how many are asked for. Without `label` a conditional
        model cycles through its classes. Raises Refusal for a label that was never trained.
        """
        if label is not None and not self.classes:
            raise Refusal("This run draws pictures of no particular class: leave --label out.")
        if label is not None and not 0 <= label < self.classes:
            raise Refusal(f"There is no class number {label}: the run learnt {self.classes}, from 0.")
        chunks = range(first // CHUNK, -(-(first + count) // CHUNK))
        draw = functools.partial(self._chunk, seed=seed, label=label)
        drawn = torch.cat(one_thread_each(draw, chunks) if self._on_cpu else list(map(draw, chunks)))
        start = first - chunks.start * CHUNK
        return drawn[start : start + count]

    @property
    def chunks_at_once(self) -> int:
        """How many chunks are drawn side by side."""
        return torch.get_num_threads() if self._on_cpu else 1

    @property
    def _on_cpu(self) -> bool:
        return self.arithmetic.device.type == "cpu"

    def draw(self, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float32 pictures `[CHUNK, C, H, W]` in [0, 1] on the CPU, of labels int64 `[CHUNK]`; randomness is
        `generator`'s alone."""
        raise NotImplementedError

    def start(self, chunk: int, seed: int, label: int | None = None) -> tuple[torch.Generator, Tensor | None]:
        """What `draw` is given for the chunk of that number of a series: its randomness, and its labels."""
        generator = torch.Generator().manual_seed(seed_of("sample", seed, chunk))
        if not self.classes:
            return generator, None
        cycle = torch.arange(chunk * CHUNK, (chunk + 1) * CHUNK) % self.classes
        return generator, cycle if label is None else torch.full((CHUNK,), label)

    @torch.inference_mode()
    def _chunk(self, chunk: int, seed: int, label: int | None) -> Tensor:
        return to_bytes(self.draw(*self.start(chunk, seed, label)))

    def pictures(self, y: Tensor) -> Tensor:
        """A network's output `[N, C, H, W]`, in its pixel rule, as float32 pictures in [0, 1] on the CPU."""
        return (y.float() * self.rule.std + self.rule.mean).clamp(0, 1).cpu().contiguous()


def one_thread_each(work: Callable[[int], Tensor], items: Iterable[int]) -> list[Tensor]:
    """`work` of each item, in their order, by as many threads as PyTorch may use, each of which computes alone.

    Threads that share the small operations of one network wait for each other for a third of the time.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)


def at_least_float32(x: Tensor) -> Tensor:
    """The same, in float32 at least: losses are never in half precision."""
    return x if x.dtype.itemsize > 2 else x.float()


class Frozen:
    """While open, a network's parameters take no gradient."""

    def __init__(self, net: nn.Module) -> None:
        self.parameters = list(net.parameters())

    def __enter__(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *exc: object) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(True)


class FrozenBatchNormStats:
    """While open, a network's BatchNorm normalises as it does, and its running statistics stay as they are."""

    def __init__(self, net: nn.Module) -> None:
        self.layers = [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]

    def __enter__(self) -> None:
        self.before = [layer.momentum for layer in self.layers]
        for layer in self.layers:
            layer.momentum = 0.0

    def __exit__(self, *exc: object) -> None:
        for layer, momentum in zip(self.layers, self.before, strict=True):
            layer.momentum = momentum


class LatentGeneratorMethod(GeneratorMethod):
    """A method whose model decodes latent vectors to pictures."""

    preset: LatentGenerator

    def draw(self, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """As `GeneratorMethod.draw`: latent vectors, decoded."""
        return self.decode(self.latents(generator, CHUNK, labels), labels)

    def latents(self, generator: torch.Generator, count: int, labels: Tensor | None = None) -> Tensor:
        """float32 `[count, latent]` on the CPU, for labels int64 `[count]`: what `decode` takes; N(0, I) here."""
        return torch.randn(count, self.preset.latent, generator=generator)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """float32 pictures `[N, C, H, W]` in [0, 1] on the CPU, of latent vectors `[N, latent]` and labels `[N]`."""
        raise NotImplementedError


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures in [0, 1] as uint8."""
    return (pictures * 255).round().to(torch.uint8)


class ClassifierMethod(Method):
    """A method whose model is an extractor followed by a label predictor.

    `domain` is where images come from, for a method that has an extractor for each domain; the others ignore it.
    """

    preset: Adaptation | Classifier
    cross_fits = False  # whether it learns in seconds, so that `cross_fitted` can be asked for

    def cross_fitted(self, images: Tensor, labels: Tensor) -> Tensor:
        """Which of labelled source pictures uint8 `[N, C, H, W]` are right by a model that learnt from CROSS_FITS - 1
        parts of them and not from their own: bool `[N]`."""
        raise NotImplementedError

    def set_up(self) -> None:
        """One optimizer for every network; a method of several says so itself."""
        self.optimizers = {"all": self._optimizer(self.preset.lr, *self.networks)}

    def _optimizer(self, lr: float, *names: str) -> Optimizer:
        """The preset's, over the parameters of the networks of these names; a backbone that starts from weights learns
        at a share of the rate."""
        fresh: list[nn.Parameter] = []
        started: list[nn.Parameter] = []
        for net in (self.networks[name] for name in names):
            learnt = isinstance(net, PretrainedBackbone) and getattr(self.preset, "weights", "none") != "none"
            own = set(net.net.parameters()) if isinstance(net, PretrainedBackbone) and learnt else set()
            for parameter in net.parameters():
                (started if parameter in own else fresh).append(parameter)
        share = getattr(self.preset, "backbone_rate", 1.0)
        groups: list[Any] = [{"params": fresh}, {"params": started, "share": share}]
        return make_optimizer(self.preset.optimizer, groups if started else fresh, lr, self.preset.weight_decay)

    def _descend(self, name: str, loss: Tensor) -> None:
        """One step of the optimizer of that name down `loss`."""
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()

    @torch.inference_mode()
    def embed(self, images: Tensor, domain: Domain = "target") -> Tensor:
        """uint8 `[N, C, H, W]` to the latent features, float32 `[N, D]` on the CPU."""
        return torch.cat([self._features(chunk, domain).float().cpu() for chunk in self._chunks(images)])

    @torch.inference_mode()
    def predict(self, images: Tensor, domain: Domain = "target") -> Tensor:
        """uint8 `[N, C, H, W]` to class probabilities, float32 `[N, K]` on the CPU."""
        features = (self._features(chunk, domain) for chunk in self._chunks(images))
        return torch.cat([self._logits(chunk).softmax(1).cpu() for chunk in features])

    @classmethod
    def own_networks(cls, preset: BenchmarkPreset, parts: BackboneParts) -> dict[str, nn.Module]:
        """What the method needs on the common backbone beside `extractor` and `predictor`: by default the adversary
        `domain`, where domains are told apart. Networks are initialised in the order in which they stand."""
        return {} if preset.adversary == "none" else {"domain": Adversary(parts.features)}

    @classmethod
    def inputs(
        cls, name: str, pictures: Tensor, outputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[Tensor, ...]:
        """An extractor, and what is its copy, takes pictures; any other network features."""
        if name.endswith(("extractor", "anchor")):
            return (pictures,)
        return (next(features for before, features in outputs.items() if before.endswith("extractor")),)

    def start_from_pretrained(self) -> None:
        """Of a pretrained backbone the weights that the preset names."""
        backbone = self.extractor_of("source")
        if isinstance(backbone, PretrainedBackbone):
            backbone.start_from(getattr(self.preset, "weights", "none"))

    def extractor_of(self, domain: Domain) -> nn.Module:
        """The extractor that images of a domain pass, with that domain's statistics where it keeps them apart."""
        return in_domain(self.networks["extractor"], domain)

    def validate(self, held_out: ImageSet) -> dict[str, float]:
        """Accuracy on held-out labelled images, with its binomial error; "source" for what they are in adaptation."""
        assert held_out.labels is not None
        value = (self.predict(held_out.images, "source").argmax(1) == held_out.labels.cpu()).double().mean().item()
        return {"source_accuracy": value, "error": standard_error(value, len(held_out))}

    def _chunks(self, images: Tensor) -> tuple[Tensor, ...]:
        return images.split(EVALUATION_BATCH)

    def _features(self, images: Tensor, domain: Domain = "target") -> Tensor:
        self.train_mode(False)
        with self.arithmetic.autocast():
            return self.extractor_of(domain)(self.rule(images, self.arithmetic))

    def _logits(self, features: Tensor) -> Tensor:
        with self.arithmetic.autocast():
            return self.networks["predictor"](features).float()
