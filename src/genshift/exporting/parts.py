"""The parts of a run that can be exported, each as a module with examples of what it takes and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genshift import nets
from genshift.data.pixels import to_colour
from genshift.device import Arithmetic
from genshift.diffusion.process import Parametrisation, Process
from genshift.errors import Refusal, unknown
from genshift.exporting.reading import Reading
from genshift.methods import Attributes, ClassifierMethod, DiffusionMethod, GANMethod, Method, VAEMethod
from genshift.methods.mixture import Mixture
from genshift.presets import Preset
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import TrainedRun, open_run
from genshift.sampling.sampler_settings import no_sampling
from genshift.sampling.trained_generator import open_generator

FLOAT32 = Arithmetic(torch.device("cpu"), "float32", "what is exported computes in float32")
BATCH = {0: "batch"}
PIXELS = {0: "batch", 1: "height", 2: "width"}
EXAMPLES = 3  # a batch of them; one alone could be taken for what never changes
BYTES = "uint8 [batch, height, width, 3], RGB, of any height and width"

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Part:
    """module: answers the inputs of `examples`, in this order. free: their axes that may have any length, by name.
    output: the answer's name. own: genshift's own answer to the first example, None where chance is part of it.
    networks: whose weights it needs. takes, gives: what each input and the answer are, in words. about: what else its
    user must know. gains: of each example, by what the network's own answer is multiplied in it, where that is above 1:
    rounding grows alike."""

    name: str
    module: nn.Module
    examples: tuple[Inputs, ...]
    free: Mapping[str, Mapping[int, str]]
    output: str
    own: Tensor | None
    networks: Mapping[str, nn.Module]
    takes: Mapping[str, str]
    gives: str
    about: Mapping[str, Any] = field(default_factory=dict)
    gains: tuple[float, ...] = (1.0, 1.0, 1.0)


def open_part(run: RunFolder, name: str | None, sampling: Mapping[str, Any]) -> tuple[TrainedRun, Part]:
    """A run's part of that name, or the one that answers for it; in float32, on the CPU, from the chosen checkpoint.

    sampling: as `open_generator` takes it, of a diffusion run. Raises Refusal for a part that the run has not, a run
    without a checkpoint, and one that has diverged.
    """
    opened = open_run(run, on="cpu")
    method, preset = opened.method, opened.preset
    parts = next(parts for kind, parts in PARTS.items() if isinstance(method, kind))
    name = name or next(iter(parts))
    if name not in parts:
        raise unknown("part", name, parts, f"{run.path} is {preset.summary}.")
    if isinstance(method, DiffusionMethod) or name == "prior":
        method = open_generator(run, sampling).method
    else:
        no_sampling(run, preset, sampling)
    method.arithmetic = FLOAT32
    for net in method.networks.values():
        _plain(net)
    method.train_mode(False)
    part = parts[name](method, preset)
    with torch.inference_mode():
        answers = [part.module(*example.values()) for example in part.examples]
    if not all(bool(answer.isfinite().all()) for answer in answers):
        raise Refusal(
            f"{run.path} answers with values that are not finite: its training diverged; train with a lower --lr."
        )
    return opened, part


def _plain(net: nn.Module) -> None:
    """Brings a network's weights to float32, in the order in which files hold them, and to take no gradient."""
    for parameter in net.float().requires_grad_(False).parameters():
        parameter.data = parameter.data.contiguous()


# --- what reads pictures ----------------------------------------------------------------------------------------------


class Answering(nn.Module):
    """uint8 pictures `[N, H, W, 3]`, read and passed through networks one after the other, then through `end`."""

    def __init__(self, reading: Reading, networks: list[nn.Module], end: str = "") -> None:
        super().__init__()
        self.reading, self.networks, self.end = reading, nn.ModuleList(networks), end

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.reading(pictures)
        for net in self.networks:
            x = net(x)
            x = x[0] if isinstance(x, tuple) else x  # a VAE's encoder: mean and log-variance
        return {"softmax": lambda: x.softmax(1), "sigmoid": x.sigmoid, "": lambda: x}[self.end]()


def _reading(preset: Preset) -> Reading:
    return Reading(preset.size, preset.fit, preset.colour == "grey", nets.channels(preset), preset.mean, preset.std)


def _pictures(size: int) -> tuple[Inputs, ...]:
    """Pictures at the run's size, and rectangles that are interpolated alone, and averaged first."""
    shapes = ((size, size), (3 * size, 2 * size), (5 * size, 8 * size))
    random = torch.Generator().manual_seed(0)
    return tuple(
        {"pictures": torch.randint(0, 256, (EXAMPLES, *shape, 3), generator=random, dtype=torch.uint8)}
        for shape in shapes
    )


def _own_bytes(preset: Preset, pictures: Tensor) -> Tensor:
    """The first example as genshift holds it: uint8 `[N, C, size, size]`."""
    return to_colour(pictures.permute(0, 3, 1, 2).contiguous(), preset.colour)


def _classifier(method: ClassifierMethod, preset: Preset) -> Part:
    end = "sigmoid" if isinstance(method, Attributes) else "softmax"
    networks = {"extractor": method.extractor_of("target"), "predictor": method.networks["predictor"]}
    of = "of each attribute" if end == "sigmoid" else "of each class; a row's sum is 1"
    gives = f"float32 [batch, {method.classes}]: the probability {of}"
    own = method.predict
    return _of_pictures("classifier", method, preset, networks, end, "probabilities", gives, own)


def _encoder(method: ClassifierMethod | VAEMethod, preset: Preset) -> Part:
    if isinstance(method, VAEMethod):
        networks, what = {"encoder": method.networks["encoder"]}, "means of the posterior"
    else:
        networks, what = {"extractor": method.extractor_of("target")}, "latent features"
    gives = f"float32 [batch, features]: {what}, as of embed"
    return _of_pictures("encoder", method, preset, networks, "", "features", gives, method.embed)


def _of_pictures(
    name: str,
    method: Method,
    preset: Preset,
    networks: Mapping[str, nn.Module],
    end: str,
    output: str,
    gives: str,
    own: Callable[[Tensor], Tensor],
) -> Part:
    examples = _pictures(preset.size)
    seen = own(_own_bytes(preset, examples[0]["pictures"]))
    module = Answering(_reading(preset), list(networks.values()), end)
    return Part(
        name, module, examples, {"pictures": PIXELS}, output, seen, networks, {"pictures": BYTES}, gives,
        {"fit": preset.fit, "colour": preset.colour},
    )  # fmt: skip


# --- what draws pictures ----------------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """Latent vectors `[N, latent]`, and labels `[N]` of a conditional model, to pictures `[N, H, W, C]` in [0, 1]."""

    def __init__(self, net: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.net, self.mean, self.std = net, mean, std

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        y = self.net(latents) if labels is None else self.net(latents, labels)
        return (y.float() * self.std + self.mean).clamp(0, 1).permute(0, 2, 3, 1)


def _decoder(method: VAEMethod | GANMethod, preset: Any) -> Part:
    name, net = ("decoder", "decoder") if isinstance(method, VAEMethod) else ("generator", "generator")
    module = Decoder(method.networks[net], preset.mean, preset.std)
    examples: Inputs = {"latents": torch.randn(EXAMPLES, preset.latent, generator=torch.Generator().manual_seed(0))}
    prior = preset.prior if isinstance(method, VAEMethod) else "normal"
    drawn = "N(0, I)" if prior == "normal" else "the part prior"
    takes = {"latents": f"float32 [batch, {preset.latent}], from {drawn}"}
    if method.classes:
        examples["labels"] = torch.arange(EXAMPLES) % method.classes
        takes["labels"] = f"int64 [batch], 0 to {method.classes - 1}: the class"
    own = method.decode(examples["latents"], examples.get("labels")).permute(0, 2, 3, 1)
    return Part(
        name, module, (examples,), dict.fromkeys(examples, BATCH), "pictures", own, {net: method.networks[net]}, takes,
        _pictures_out(preset), {"prior": prior},
    )  # fmt: skip


def _pictures_out(preset: Preset) -> str:
    return (
        f"float32 [batch, {preset.size}, {preset.size}, {nets.channels(preset)}] in [0, 1]; bytes are those times 255, "
        "rounded"
    )


class Prior(nn.Module):
    """N(0, I) `[N, latent]` and numbers from U[0, 1) `[N]`, and labels `[N]`, to latent vectors of a fitted mixture."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        total = mixture.weights.sum(1, keepdim=True)
        self.register_buffer("below", (mixture.weights / total).cumsum(1)[:, :-1])
        self.register_buffer("means", mixture.means)
        self.register_buffer("roots", mixture.roots)

    def forward(self, noise: Tensor, uniform: Tensor, labels: Tensor | None = None) -> Tensor:
        group = torch.zeros_like(uniform, dtype=torch.int64) if labels is None else labels
        below, means, roots = self.get_buffer("below"), self.get_buffer("means"), self.get_buffer("roots")
        component = (uniform[:, None] >= below[group]).sum(1)
        return means[group, component] + (roots[group, component] @ noise[:, :, None])[:, :, 0]


def _prior(method: VAEMethod, preset: Any) -> Part:
    if method.mixture is None:
        raise Refusal("This run draws its latent vectors from N(0, I): it has no other prior; leave --part out.")
    random = torch.Generator().manual_seed(0)
    examples: Inputs = {
        "noise": torch.randn(EXAMPLES, preset.latent, generator=random),
        "uniform": torch.rand(EXAMPLES, generator=random),
    }
    takes = {"noise": f"float32 [batch, {preset.latent}], N(0, I)", "uniform": "float32 [batch], U[0, 1)"}
    if method.classes:
        examples["labels"] = torch.arange(EXAMPLES) % method.classes
        takes["labels"] = f"int64 [batch], 0 to {method.classes - 1}: the class"
    module = Prior(method.mixture)
    return Part(
        "prior", module, (examples,), dict.fromkeys(examples, BATCH), "latents", None, {"prior": module}, takes,
        f"float32 [batch, {preset.latent}]: what the part decoder takes",
    )  # fmt: skip


# --- what takes noise away --------------------------------------------------------------------------------------------


class Denoiser(nn.Module):
    """Noisy pictures `[N, H, W, C]` = α(t) picture + σ(t) noise, their times t `[N]` in [0, 1], and labels `[N]`, to
    the pictures that the network sees in them; in its pixel rule's range, (picture - mean)/std."""

    def __init__(
        self, net: nn.Module, process: Process, parametrisation: Parametrisation, ends: tuple[float, float] | None
    ) -> None:
        super().__init__()
        self.net, self.process, self.parametrisation, self.ends = net, process, parametrisation, ends

    def forward(self, noisy: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        t, x = time.double(), noisy.permute(0, 3, 1, 2)
        a, b, c = (
            rate.float()[:, None, None, None] for rate in self.parametrisation.coefficients(*self.process.rates(t))
        )
        answer = self.net(c * x, self.process.time_input(t).float(), labels).float()
        x_0 = a * x + b * answer
        x_0 = x_0 if self.ends is None else x_0.clamp(*self.ends)
        return x_0.permute(0, 2, 3, 1)


def _denoiser(method: DiffusionMethod, preset: Any) -> Part:
    return _denoiser_of("denoiser", method.networks["unet"], method.drawing_network, method, preset)


def _weak(method: DiffusionMethod, preset: Any) -> Part:
    if method.weak is None:
        raise Refusal("This run guides by no early state of its own: leave --part out, or give --guide weak or both.")
    _plain(method.weak)
    return _denoiser_of("weak", method.weak, method.weak, method, preset)


def _denoiser_of(name: str, weights: nn.Module, net: nn.Module, method: DiffusionMethod, preset: Any) -> Part:
    how = method.sampling
    ladder = method.ladder
    ends = (-preset.mean / preset.std, (1 - preset.mean) / preset.std) if how.clip == "on" else None
    module = Denoiser(net, method.process, method.parametrisation, ends)
    none = -1 if preset.label_dropout else 0  # the least label: -1 where pictures were learnt without any
    # States of the process itself: one level an example, for genshift passes all pictures at one.
    places = sorted({0, len(ladder) // 2, len(ladder) - 1})
    shape = (EXAMPLES, preset.size, preset.size, nets.channels(preset))
    random = torch.Generator().manual_seed(0)
    examples, gains = [], []
    for place in places:
        alpha, sigma = ladder.alpha[place].item(), ladder.sigma[place].item()
        _, b, _ = method.parametrisation.coefficients(ladder.alpha[place], ladder.sigma[place])
        gains.append(max(1.0, abs(b.item())))
        picture = (torch.rand(shape, generator=random) - preset.mean) / preset.std
        inputs = {
            "noisy": alpha * picture + sigma * torch.randn(shape, generator=random),
            "time": ladder.time[place].float().expand(EXAMPLES).contiguous(),
        }
        if method.classes:
            inputs["labels"] = torch.arange(EXAMPLES) % (method.classes - none) + none
        examples.append(inputs)
    first = examples[0]
    own = method._predict(net, ladder.time, first["noisy"].permute(0, 3, 1, 2), places[0], first.get("labels"))
    takes = {
        "noisy": f"float32 {['batch', *shape[1:]]}: alpha · picture + sigma · noise, of pictures (pixel - mean)/std",
        "time": "float32 [batch], 1 the most noise, 0 none",
    }
    if method.classes:
        takes["labels"] = f"int64 [batch], 0 to {method.classes - 1}: the class{'; -1: none' if none else ''}"
    about = {
        "mean": preset.mean,
        "std": preset.std,
        "ladder": {"time": ladder.time.tolist(), "alpha": ladder.alpha.tolist(), "sigma": ladder.sigma.tolist()},
        "sampling": asdict(how),
    }
    gives = f"float32 {['batch', *shape[1:]]}: the picture seen in it, (pixel - mean)/std"
    free = dict.fromkeys(first, BATCH)
    return Part(
        name, module, tuple(examples), free, "picture", own.permute(0, 2, 3, 1), {"unet": weights}, takes, gives, about,
        tuple(gains),
    )  # fmt: skip


# The parts of each kind of run; the first answers for it.
PARTS: dict[type[Method], dict[str, Callable[[Any, Any], Part]]] = {
    ClassifierMethod: {"classifier": _classifier, "encoder": _encoder},
    VAEMethod: {"decoder": _decoder, "encoder": _encoder, "prior": _prior},
    GANMethod: {"generator": _decoder},
    DiffusionMethod: {"denoiser": _denoiser, "weak": _weak},
}
NAMES = tuple(dict.fromkeys(name for parts in PARTS.values() for name in parts))
