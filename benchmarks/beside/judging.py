"""Measures one point of a curve of `benchmarks/quality.py`: `python -m beside.judging JSON`; the last line is found.

One judge for all arms: of an adaptation the target's test labels, which no arm learnt from; of generators a
classifier's run, whose features are compared with those of training pictures. How many steps a diffusion model may take
to draw is what its own speed leaves of the seconds that are given for the pictures.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from beside.learners import CLASSES, CONTESTS, LEARNERS, Contest, Diffusers, data_preset, in_bfloat16, normalised
from genshift import device
from genshift.evaluation.feature_distance import FeatureSpace, classifier_space
from genshift.methods.base import CHUNK, to_bytes
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.frechet import frechet, statistics
from genshift.metrics.label_free import information
from genshift.runs import checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import load_networks, open_run
from genshift.sampling.trained_generator import open_generator
from genshift.training.domains import evaluation_split, open_set
from genshift.training.training_data import open_training_data

REFERENCE = 5_000  # real pictures, at most
UNLABELLED = 2_000  # target training images that information maximisation is measured on
MOST_STEPS = 50
GUIDANCE = 2.0  # of diffusers' arm

Draw = Callable[[int, int], Tensor]  # pictures and steps to uint8 [n, 3, H, W]


# --- adaptation -------------------------------------------------------------------------------------------------------


def judge_adaptation(contest: Contest, path: Path, asked: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy on the target's test images, and information maximisation on training ones without their labels: the
    rule by which the arm, whoever it is, chooses among its points."""
    preset: Any = data_preset(contest)
    root = Path(asked["data_root"])
    predict = (_our_answers if asked["arm"] == "genshift" else _peer_answers)(contest, path)
    test, _ = open_set(preset.target, evaluation_split(preset.target), preset, data_root=root, labels=True)
    seen, _ = open_set(preset.target, "train", preset, data_root=root, labels=False)
    assert test.labels is not None
    right = (predict(test.images).argmax(1) == test.labels).double().mean().item()
    rows = torch.from_numpy(fixed_sample(len(seen), UNLABELLED, 0))
    return {"accuracy": right, "n": len(test), "information": information(predict(seen.images[rows]))}


def _our_answers(contest: Contest, path: Path) -> Callable[[Tensor], Tensor]:
    run: Any = open_run(path.parents[1])
    load_networks(run.method, path)
    return run.method.predict


def _peer_answers(contest: Contest, path: Path) -> Callable[[Tensor], Tensor]:
    preset = data_preset(contest)
    networks = LEARNERS[contest.peer](preset).networks
    checkpoint.unpack_networks(checkpoint.load(path).tensors, networks, path)
    for net in networks.values():
        net.eval()

    @torch.inference_mode()
    def predict(images: Tensor) -> Tensor:
        chunks = (normalised(preset, chunk) for chunk in images.split(500))
        return torch.cat([networks["C"](networks["G"](x)).softmax(1) for x in chunks])

    return predict


# --- generators -------------------------------------------------------------------------------------------------------


def judge_generator(contest: Contest, path: Path, asked: Mapping[str, Any]) -> dict[str, float]:
    """The share of the class that was asked for (of digits), the Fréchet distance, and what drawing took."""
    preset: Any = data_preset(contest)
    space, count = classifier_space(Path(asked["judge"])), asked["count"]
    draw = (our_drawing if asked["arm"] == "genshift" else peer_drawing)(contest, path)
    steps = steps_within(draw, count, asked["seconds"])
    began = time.perf_counter()
    pictures = draw(count, steps)
    spent = time.perf_counter() - began
    images = next(iter(open_training_data(preset, Path(asked["data_root"])).parts.values())).images.images
    rows = torch.from_numpy(fixed_sample(len(images), REFERENCE + count, 0))
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    real, other = (statistics(space.embed(images[part])) for part in (rows[count:], rows[:count]))
    found = {
        "frechet": frechet(real, statistics(space.embed(pictures))),
        "floor": frechet(real, other),
        "drawing_seconds": spent,
        "steps": steps,
        "n": count,
    }
    return {**found, **_right(space, pictures)} if contest.judge == "digits" else found


def _right(space: FeatureSpace, pictures: Tensor) -> dict[str, float]:
    assert space.classify is not None
    answers = space.classify(pictures)
    return {"right_class": (answers == torch.arange(len(answers)) % CLASSES).double().mean().item()}


def steps_within(draw: Draw, count: int, seconds: float) -> int:
    """How many steps let `count` pictures be drawn in so many seconds, by the speed of one chunk; at least one."""
    draw(CHUNK, 1)  # warms up
    began = time.perf_counter()
    draw(CHUNK, 3)
    a_step = (time.perf_counter() - began) / 3 * math.ceil(count / CHUNK)
    return max(1, min(MOST_STEPS, int(seconds / a_step)))


def our_drawing(contest: Contest, path: Path) -> Draw:
    """Drawing by a checkpoint of genshift's run, as the run draws but for its steps; a GAN has none."""
    folder = RunFolder(path.parents[1])
    if contest.preset == "faces-gan":
        run: Any = open_run(folder)
        load_networks(run.method, path)
        return lambda count, steps: run.method.sample(count, seed=0)
    method: Any = open_generator(folder).method
    load_networks(method, path)

    def draw(count: int, steps: int) -> Tensor:
        method.sampling = replace(method.sampling, steps=steps)
        return method.sample(count, seed=0)

    return draw


def peer_drawing(contest: Contest, path: Path) -> Draw:
    """Drawing by a peer's averaged network and its own sampler."""
    learner: Any = LEARNERS[contest.peer](data_preset(contest))
    checkpoint.unpack_networks(checkpoint.load(path).tensors, learner.answering, path)
    return _by_diffusers(learner) if isinstance(learner, Diffusers) else _by_denoising(learner)


def _by_diffusers(learner: Any) -> Draw:
    from diffusers import UniPCMultistepScheduler

    net, preset = learner.averaged.eval(), learner.preset

    @torch.inference_mode()
    def chunk(first: int, count: int, steps: int) -> Tensor:
        scheduler = UniPCMultistepScheduler.from_config(learner.noise.config)
        scheduler.set_timesteps(steps)
        x = torch.randn(count, 3, preset.size, preset.size, generator=torch.Generator().manual_seed(first))
        labels = torch.cat([(first + torch.arange(count)) % CLASSES, torch.full((count,), learner.none)])
        for t in scheduler.timesteps:
            with in_bfloat16():
                told, plain = net(torch.cat([x, x]), t, labels).sample.float().chunk(2)
            x = scheduler.step(plain + GUIDANCE * (told - plain), t, x).prev_sample
        return to_bytes((x * preset.std + preset.mean).clamp(0, 1))

    return lambda count, steps: in_chunks(count, lambda first, n: chunk(first, n, steps))


def _by_denoising(learner: Any) -> Draw:
    model = learner.average.ema_model.eval()

    @torch.inference_mode()
    def chunk(first: int, count: int, steps: int) -> Tensor:
        torch.manual_seed(first)
        model.sampling_timesteps, model.is_ddim_sampling = steps, True
        with in_bfloat16():
            return to_bytes(model.sample(batch_size=count).float().clamp(0, 1))

    return lambda count, steps: in_chunks(count, lambda first, n: chunk(first, n, steps))


def in_chunks(count: int, draw: Callable[[int, int], Tensor]) -> Tensor:
    """Pictures in chunks of CHUNK, as genshift draws them: `draw` takes the first one's number and how many."""
    return torch.cat([draw(first, min(CHUNK, count - first)) for first in range(0, count, CHUNK)])


def main() -> None:
    """Judges one point, prints one line of JSON."""
    asked = json.loads(sys.argv[1])
    contest, path = CONTESTS[asked["contest"]], Path(asked["point"])
    device.prepare_process(asked["threads"], torch.device("cpu"))
    judge = judge_generator if contest.judge else judge_adaptation
    print(json.dumps(judge(contest, path, asked)))


if __name__ == "__main__":
    main()
