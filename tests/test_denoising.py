"""What is measured and pictured of diffusion models: reverse process, costs, and samples class by class."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from tiny import of_pictures

from genshift import api
from genshift.data import open_packed
from genshift.data.batches import seed_of
from genshift.evaluation import generation, per_class, reverse_process
from genshift.evaluation.diffusion import DiffusionEvaluation
from genshift.evaluation.feature_distance import FeatureSpace, RealAndGenerated, classifier_space, embed_real
from genshift.evaluation.findings import Findings
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.panels import ImageWriter
from genshift.evaluation.vae import VAEEvaluation
from genshift.metrics.classification import accuracy
from genshift.metrics.embedding import fixed_sample
from genshift.metrics.frechet import frechet, statistics
from genshift.runs.folder import RunFolder
from genshift.runs.results import Measure
from genshift.runs.trained_run import open_run
from genshift.sampling.trained_generator import open_generator
from genshift.training import train as training
from genshift.training.console import Console
from genshift.training.train import Settings

SIDE = 12
SMALL = {
    **tiny.SAMPLED_PLAINLY,
    "size": SIDE,
    "width": 16,
    "patch": 2,
    "batch": 8,
    "images": 32,
    "guidance": 3.0,
    "lr_warmup": 0,
}


class Workshop:
    """A classifier and two diffusion models of the tiny digits, evaluated in its features."""

    def __init__(self, root):
        self.root = root
        self.data = tiny.write_domain(root / "digits", 0, train=80, test=20, side=SIDE)
        before, training.CHECKS = training.CHECKS, 2
        try:
            self.train("judge", "digits-classifier")
            self.train("flow", "digits-diffusion", steps=7, predict="x0")
            self.train("plain", "faces-diffusion", condition="none", attribute="", steps=3, process="linear", flip=0.0)
            self.train("long", "digits-diffusion", steps=1000, sampler="ddpm", process="linear", images=8)
        finally:
            training.CHECKS = before

    def train(self, name, preset, **changes):
        settings = Settings(seed=5 if name == "judge" else 0)
        fields = {**SMALL, **changes} if name != "judge" else {"size": SIDE, "width": 8, "batch": 8, "images": 32}
        assert training.train(of_pictures(preset, self.data, **fields), self.root / name, settings)

    def __getitem__(self, name):
        return RunFolder(self.root / name)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def found(workshop):
    """The results and the evaluation of the conditional model."""
    results = api.evaluate(workshop["flow"].path, features=workshop["judge"].path)
    return results, workshop["flow"].read("evaluation.json")


def method_of(run, **sampling):
    return open_generator(run, sampling).method


# --- the reverse process --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "count", "numbers"),
    [(1000, 6, [0, 200, 400, 600, 800, 1000]), (20, 6, [0, 4, 8, 12, 16, 20]), (3, 6, [0, 1, 2, 3]), (1, 6, [0, 1])],
)
def test_stages_lie_evenly_between_noise_and_picture(steps, count, numbers):
    assert reverse_process.spread(steps, count) == numbers
    film = reverse_process.spread(steps, reverse_process.FRAMES)
    assert film[0] == 0 and film[-1] == steps and len(film) == min(steps + 1, reverse_process.FRAMES)


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++2m", "heun"])
def test_the_stages_are_the_states_of_the_samples_that_sample_draws(sampler, workshop):
    """Noise at first, at the end the sample; below each state what the network, guided, predicts from just that."""
    method = method_of(workshop["flow"], sampler=sampler, steps=7)
    seen = reverse_process.watch(method)
    assert seen.steps == 7 and sorted(seen.stages) == list(range(8)) and seen.labels == tuple(range(10))
    assert torch.equal(seen.stages[7].noisy, method.sample(10, seed=0))
    assert torch.equal(seen.stages[7].noisy, seen.stages[7].predicted)
    generator = torch.Generator().manual_seed(seed_of("sample", 0, 0))
    states = list(method.reverse(generator, torch.arange(50) % 10))
    for state in states[:-1]:
        pictures = (method.pictures(state.x[:10]) * 255).round().to(torch.uint8)
        assert torch.equal(seen.stages[state.step].noisy, pictures)
    predicted = (method.pictures(states[3].x0[:10]) * 255).round().to(torch.uint8)
    assert torch.equal(seen.stages[3].predicted, predicted)
    noise = seen.stages[0].noisy.float() / 255
    assert 0.4 < noise.mean() < 0.6 and noise.std() > 0.3, "N(0, 1) clipped to [-1, 1]"
    assert [round(seen.stages[k].t, 3) for k in (0, 7)] == [0.999, 0.0]


@pytest.mark.parametrize(("name", "classes"), [("flow", 10), ("plain", 0)])
def test_a_chunk_starts_from_its_seed_and_its_turn(name, classes, workshop):
    """Pictures 50 to 99 of series 3, from random numbers and labels that are stated here anew."""
    method = method_of(workshop[name], sampler="ddpm", steps=2)
    generator = torch.Generator().manual_seed(seed_of("sample", 3, 1))
    labels = torch.arange(50, 100) % classes if classes else None
    drawn = (method.draw(generator, labels) * 255).round().to(torch.uint8)
    assert torch.equal(method.sample(50, seed=3, first=50), drawn)
    assert not torch.equal(method.sample(50, seed=3), drawn)
    noise = torch.randn(50, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    assert torch.equal(method.noise(torch.Generator().manual_seed(5)), noise)


def test_noise_of_edm_is_shown_within_the_pixels_range(workshop, tmp_path):
    preset = of_pictures("digits-diffusion", workshop.data, **SMALL, process="edm", predict="edm", steps=4)
    assert training.train(preset, tmp_path / "edm", Settings())
    noise = reverse_process.watch(method_of(RunFolder(tmp_path / "edm"))).stages[0].noisy.float() / 255
    grey = ((noise > 0.02) & (noise < 0.98)).double().mean()
    assert grey > 0.6, "of N(0, 1), 68% lie within [-1, 1]; unscaled, one in a hundred would"


# --- its pictures ---------------------------------------------------------------------------------------------------


def tiles(path, columns):
    with Image.open(path) as image:
        sheet = np.array(image)
    step = SIDE + 2
    assert sheet.shape[1] == columns * step + 2
    rows = sheet.shape[0] // step
    return [
        [sheet[2 + r * step : (r + 1) * step, 2 + c * step : (c + 1) * step].transpose(2, 0, 1) for c in range(columns)]
        for r in range(rows)
    ]


def entry(evaluation, name):
    (one,) = [each for each in evaluation["pictures"] if each["file"] == f"samples/{name}"]
    return one


def test_the_strip_shows_state_and_prediction_and_says_steps_and_level(workshop, found):
    method = method_of(workshop["flow"])
    seen = reverse_process.watch(method)
    strip = tiles(workshop["flow"].path / "samples" / "reverse.png", 6)
    assert len(strip) == 2 and reverse_process.spread(7, 6) == [0, 1, 3, 4, 6, 7]
    for column, done in enumerate([0, 1, 3, 4, 6, 7]):
        assert np.array_equal(strip[0][column], seen.stages[done].noisy[0].numpy())
        assert np.array_equal(strip[1][column], seen.stages[done].predicted[0].numpy())
    told = entry(found[1], "reverse.png")
    assert "class 0, dpm++2m in 7 steps, guidance 3" in told["caption"]
    assert told["caption"].endswith("after so many steps, at the noise level t.")
    assert told["under"] == [
        "0 steps\nt = 0.999", "1 step\nt = 0.857", "3 steps\nt = 0.571", "4 steps\nt = 0.429", "6 steps\nt = 0.143",
        "7 steps\nt = 0",
    ]  # fmt: skip


def test_a_discrete_process_says_k(workshop):
    method = method_of(workshop["plain"])
    (told, _) = reverse_process.pictures(ImageWriter(workshop["plain"]), method, reverse_process.watch(method), ())
    assert "The first sample of series 0, dpm++2m in 3 steps, without guidance." in told["caption"]
    assert told["caption"].endswith("at the noise level t, step k of 1,000.")
    assert told["under"][:2] == ["0 steps\nt = 1\nk = 1,000", "1 step\nt = 0.667\nk = 667"]


def test_the_film_has_the_frames_it_says_and_goes_round(workshop, found):
    told = entry(found[1], "reverse.webp")
    assert (
        "at 8 of the 8 states" in told["caption"] and "of the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9," in told["caption"]
    )
    with Image.open(workshop["flow"].path / told["file"]) as film:
        assert (film.format, film.n_frames, film.info["loop"]) == ("WEBP", 8, 0)
        assert film.size == (10 * (SIDE + 2) + 2, 2 * (SIDE + 2) + 2)
        film.seek(7)
        last = np.array(film.convert("RGB"))[2 : 2 + SIDE, 2 : 2 + SIDE].astype(int)
    final = reverse_process.watch(method_of(workshop["flow"])).stages[7].noisy[0].permute(1, 2, 0).numpy()
    assert np.abs(last - final).mean() < 40, "the last frame is the sample, but for what WebP loses"


def test_a_row_for_each_class(workshop, found):
    method = method_of(workshop["flow"])
    rows = tiles(workshop["flow"].path / "samples" / "classes.png", 10)
    drawn = method.sample(100, seed=0).numpy()
    assert len(rows) == 10
    assert all(np.array_equal(rows[c][j], drawn[10 * j + c]) for c in range(10) for j in range(10))
    assert entry(found[1], "classes.png")["caption"].endswith("rows: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.")


# --- costs ----------------------------------------------------------------------------------------------------------


def test_passes_are_counted(workshop, found):
    """Seven steps, each guided: one pass with the label and one without."""
    results, evaluation = found
    assert results["evaluations_per_image"]["value"] == 14
    assert evaluation["sampling"]["steps"] == 7 and evaluation["sampling"]["sampler"] == "dpm++2m"
    assert reverse_process.watch(method_of(workshop["flow"], sampler="heun")).evaluations == 26
    assert reverse_process.watch(method_of(workshop["plain"])).evaluations == 3
    seconds = results["seconds_per_image"]
    assert 0 < seconds["value"] < 1 and seconds["n"] == 120 and "threads" in seconds["protocol"]
    assert "dpm++2m in 7 steps, guidance 3 away from the model without a label for t in (0, 1]" in seconds["protocol"]


@pytest.mark.parametrize("name", ["flow", "plain"])
def test_arithmetic_is_that_of_the_layers(name, workshop):
    """Convolutions and linear layers from their shapes, attention from its tokens."""
    method = method_of(workshop[name])
    net, total = method.networks["unet"], 0

    def count(module, given, answer):
        nonlocal total
        if isinstance(module, torch.nn.Conv2d):
            total += 2 * answer.numel() * module.weight[0].numel()
        elif isinstance(module, torch.nn.Linear):
            total += 2 * answer.numel() * module.in_features
        elif type(module).__name__ == "Attention":
            tokens = answer.shape[2] * answer.shape[3]
            total += 4 * tokens**2 * answer.shape[1]

    hooks = [module.register_forward_hook(count) for module in net.modules()]
    with torch.no_grad():
        net(torch.zeros(1, 3, SIDE, SIDE), torch.ones(1), torch.zeros(1, dtype=torch.int64) if name == "flow" else None)
    for hook in hooks:
        hook.remove()
    assert total > 0 and reverse_process.gflop_per_pass(method) == pytest.approx(total / 1e9, rel=1e-9)


# --- how it draws ---------------------------------------------------------------------------------------------------


def test_many_steps_are_drawn_in_few_unless_they_are_asked_for(workshop, capfd):
    run = workshop["long"]
    method = open_generator(run).method
    family = DiffusionEvaluation()
    quick = prepared(family, run, method)
    said = capfd.readouterr().err
    assert (quick.sampling.sampler, quick.sampling.steps, quick.sampling.guidance) == ("dpm++2m", 20, 3.0)
    assert "dpm++2m in 20 steps instead of the preset's ddpm in 1,000" in said and "--steps 1000" in said
    assert prepared(family, run, method, guidance=2.0).sampling.steps == 20
    asked = prepared(family, run, method, steps=1000)
    assert (asked.sampling.sampler, asked.sampling.steps) == ("ddpm", 1000)
    assert prepared(family, workshop["flow"], method_of(workshop["flow"])).sampling.steps == 7
    assert method.sampling.steps == 1000, "the given method stays as it was"


def prepared(family, run, method, **sampling):
    return family.prepared(run, method, None, EvaluationOptions(sampling=sampling), Console())


def test_no_series_is_longer_than_may_be_waited_for(workshop):
    assert DiffusionEvaluation.most == 1_000 < generation.GeneratorEvaluation.most
    train = open_packed(workshop.data / "train")
    sides = generation.draw_series(train, method_of(workshop["flow"]), 30, Console(False))
    assert [len(pictures) for pictures in (sides.reference, sides.other, *sides.series)] == [30] * 5
    plain = generation.draw_series(train, method_of(workshop["plain"]), 30, Console(False))
    assert sides.drawn == plain.drawn == "3 series of 30 samples (seeds 0 to 2), std over them", "however it was drawn"


def test_a_model_without_classes_is_held_against_any_halves(workshop):
    results = api.evaluate(workshop["plain"].path, features=workshop["judge"].path)
    evaluation = workshop["plain"].read("evaluation.json")
    assert "class_accuracy" not in results and "by_class" not in evaluation
    assert results["evaluations_per_image"]["value"] == 3 and results["frechet"]["n"] == 40
    names = [each["file"] for each in evaluation["pictures"]]
    assert names == [f"samples/{each}" for each in ("grid.png", "neighbours.png", "reverse.png", "reverse.webp")]


# --- class by class -------------------------------------------------------------------------------------------------


def test_halves_take_turns_as_long_as_they_can():
    """7, 12 and 5 pictures: three, six and two pairs; eight of these give one half 3, 3 and 2."""
    labels = torch.tensor([0] * 7 + [1] * 12 + [2] * 5)
    one, other = per_class.even_halves(labels, 8)
    assert labels[one].bincount().tolist() == labels[other].bincount().tolist() == [3, 3, 2]
    assert not set(one.tolist()) & set(other.tolist()) and len(set(one.tolist())) == len(set(other.tolist())) == 8
    assert labels[per_class.even_halves(labels, 100)[0]].bincount().tolist() == [3, 6, 2]
    assert torch.equal(one, per_class.even_halves(labels, 8)[0]), "the same in every run"
    assert per_class.evenness(labels[one], 3) == "the classes as even as in the samples"
    assert per_class.evenness(labels, 3) == "the classes as even as the data allow (5 to 12 of each)"


def test_parts_take_turns_too_and_leave_half_of_a_class():
    """Of 7, 12 and 5 pictures the others are 3, 3 and 2; what is left, 4, 9 and 3, gives ten as 4, 3 and 3."""
    labels = torch.tensor([0] * 7 + [1] * 12 + [2] * 5)
    one, other = per_class.even_parts(labels, 10, 8)
    assert labels[other].bincount().tolist() == [3, 3, 2] and labels[one].bincount().tolist() == [4, 3, 3]
    assert not set(one.tolist()) & set(other.tolist()) and len({*one.tolist(), *other.tolist()}) == 18
    one, other = per_class.even_parts(labels, 100, 12)
    assert labels[other].bincount().tolist() == [4, 5, 3] and labels[one].bincount().tolist() == [3, 7, 2]


def test_pictures_of_any_class_are_parted_at_random():
    """As ever: twice n of all, and of these n."""
    one, other = per_class.even_halves(torch.zeros(50, dtype=torch.int64), 10)
    shown = torch.from_numpy(fixed_sample(50, 20, 0))
    assert torch.equal(one, shown[torch.from_numpy(fixed_sample(20, 10, 0))])
    assert torch.equal(torch.cat([one, other]).sort().values, shown)


def fake_space():
    """A classifier that takes the first pixel for the class, with its own order of them."""
    return FeatureSpace(
        lambda images: images.flatten(1)[:, :3].double(), "a stand-in", 2, "none", {"frechet": "frechet"},
        lambda images: 2 - images[:, 0, 0, 0].long(), ("c", "b", "a"),
    )  # fmt: skip


def coded(numbers, seed):
    images = torch.randint(0, 256, (len(numbers), 3, 2, 2), generator=torch.Generator().manual_seed(seed))
    images[:, 0, 0, 0] = torch.tensor(numbers)
    return images.to(torch.uint8)


def test_accuracy_and_distance_of_each_class():
    """Of each series of six two pictures are of each class; the classifier sees the numbers given here."""
    labels = per_class.turns(6, 3)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    series = [coded([0, 1, 2, 0, 1, 2], 1), coded([0, 1, 2, 1, 1, 0], 2), coded([0, 0, 2, 2, 1, 2], 3)]
    real_labels = torch.tensor([0, 0, 1, 1, 1, 2])
    sides = RealAndGenerated(
        coded([0, 1, 1, 1, 1, 2], 4), coded([0, 0, 1, 1, 1, 2], 5), series, "words", "3 series", real_labels, labels
    )
    space, classes = fake_space(), ("a", "b", "c")
    seen = per_class.classify(space, sides, classes, embed_real(space, sides), None)
    found = per_class.accuracy(space, sides, seen)
    each = [1, 4 / 6, 4 / 6]
    assert found.value == pytest.approx(np.mean(each)) and found.std == pytest.approx(np.std(each, ddof=1))
    assert found.floor == pytest.approx(5 / 6) and found.n == 6
    rows = per_class.rows(sides, seen, classes)
    assert [row["class"] for row in rows] == ["a", "b", "c"] and [row["n"] for row in rows] == [2, 2, 1]
    assert [row["accuracy"] for row in rows] == pytest.approx([4 / 6, 5 / 6, 5 / 6])
    assert [row["real_accuracy"] for row in rows] == pytest.approx([1 / 2, 1, 1])
    assert rows[2]["frechet"] is None and rows[2]["floor"] is None, "one picture has no covariance"
    assert not per_class.knows(space, ("a", "b")) and per_class.knows(space, classes)
    assert not per_class.knows(FeatureSpace(space.embed, "", 2, "", {}), classes)


def test_a_run_is_measured_class_by_class(workshop, found):
    results, evaluation = found
    run, space = workshop["flow"], classifier_space(workshop["judge"].path)
    method, judge = method_of(run), open_run(workshop["judge"]).method
    train = open_packed(workshop.data / "train")
    one, other = per_class.even_halves(train.labels, 1_000)
    series = [method.sample(40, seed) for seed in range(3)]
    labels = torch.arange(40) % 10
    each = [accuracy(judge.predict(pictures).argmax(1), labels)[0] for pictures in series]
    assert results["class_accuracy"]["value"] == pytest.approx(np.mean(each))
    assert results["class_accuracy"]["std"] == pytest.approx(np.std(each, ddof=1))
    truth = accuracy(judge.predict(train.images[one]).argmax(1), train.labels[one])[0]
    assert results["class_accuracy"]["floor"] == pytest.approx(truth) and results["class_accuracy"]["n"] == 40
    assert "digits-classifier, seed 5 takes for the class asked for" in results["class_accuracy"]["protocol"]
    assert {"frechet", "precision", "recall"} <= results.keys()
    assert all("the classes as even as in the samples" in results[name]["protocol"] for name in ("frechet", "recall"))
    rows = evaluation["by_class"]
    assert [row["class"] for row in rows] == [str(digit) for digit in range(10)] and {row["n"] for row in rows} == {4}
    assert np.mean([row["accuracy"] for row in rows]) == pytest.approx(results["class_accuracy"]["value"])
    real, rest = (statistics(space.embed(train.images[half][train.labels[half] == 3])) for half in (one, other))
    drawn = [frechet(real, statistics(space.embed(pictures[labels == 3]))) for pictures in series]
    assert rows[3]["frechet"] == pytest.approx(np.mean(drawn), rel=1e-6)
    assert rows[3]["floor"] == pytest.approx(frechet(real, rest), rel=1e-6)
    assert all(math.isfinite(row["frechet"]) for row in rows) and json.dumps(rows)


def test_a_classifier_of_other_classes_gives_no_accuracy(workshop):
    sides = RealAndGenerated(
        *[coded([0, 1, 2], seed) for seed in (1, 2)], [coded([0, 1, 2], seed) for seed in (3, 4)], "words"
    )
    run = workshop["flow"]
    method = method_of(run)
    found, sides = Findings(("a", "b")), replace(sides, labels=torch.arange(3))
    context = generation.EvaluationContext(run, method.preset, method, None, None, Console(), sides, found, ("a", "b"))
    generation.compare(context, fake_space(), EvaluationOptions())
    assert set(found.results) == {"frechet", "repeats"} and "by_class" not in found.record
    (sentence,) = found.record["warnings"]
    assert sentence.startswith("Not measured: class_accuracy. a stand-in does not tell these classes apart")


def test_a_judge_that_taught_the_generator_is_not_independent(workshop, tmp_path):
    preset = of_pictures("faces-vae", workshop.data, perceptual=0.1, features=str(workshop["judge"].path))
    asked, results = EvaluationOptions(features=workshop["judge"].path), {"class_accuracy": Measure(0.9, 10, "")}
    family = VAEEvaluation()
    (said,) = family.own_warnings(preset, results, asked)
    assert said.startswith("Not independent") and family.own_warnings(preset, {}, asked) == []
    assert family.own_warnings(preset, results, EvaluationOptions(features=tmp_path)) == []
    assert family.own_warnings(preset.replaced(perceptual=0.0), results, asked) == []
    assert DiffusionEvaluation().own_warnings(method_of(workshop["flow"]).preset, results, asked) == []
