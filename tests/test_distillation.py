"""Students of diffusion models: flows known in closed form, weights taken over, that they learn, the command line."""

import dataclasses
import json
import math
import shutil
import signal

import pytest
import tiny
import torch
from tiny import refused, told
from torch import nn

from genshift import api, presets
from genshift.data.feed import Batch, StepRandom
from genshift.diffusion.process import PROCESSES, levels
from genshift.methods import base, diffusion
from genshift.methods.schedules import Progress
from genshift.methods.student import part, picture_between
from genshift.presets import Student
from genshift.presets.diffusion import DRAWING, PASSES
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import build_method, open_run, preset_of
from genshift.sampling import autoguidance
from genshift.sampling.student import affordable
from genshift.training import train as training

SMALL = {**tiny.SAMPLED_PLAINLY, "size": 8, "width": 8, "patch": 2, "steps": 3, "guidance": 3.0, "lr_warmup": 0}
PAIRS = [*((process, predict) for process in ("linear", "cosine", "flow") for predict in ("epsilon", "x0", "v"))]
PAIRS += [("edm", "edm")]
START, CHUNK = Progress(0, 100), 6


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Chunks of six pictures."""
    for module in (base, diffusion):
        monkeypatch.setattr(module, "CHUNK", CHUNK)


def pair(classes=3, arithmetic=tiny.FLOAT64, **changes):
    """A teacher whose random network answers something, and a student that begins as it."""
    name = changes.pop("preset", "digits-diffusion")
    students = {key: changes.pop(key) for key in ("solver_steps", "folded_from") if key in changes}
    small = {key: value for key, value in SMALL.items() if name != "hw2-diffusion" or key not in ("width", "patch")}
    condition = {} if classes else {"condition": "none"}
    preset = presets.get(name).replaced(**{**small, **condition, **changes})
    teacher = build_method(preset, classes, arithmetic, 0)
    generator = torch.Generator().manual_seed(5)
    for weight in teacher.networks["unet"].parameters():
        if not weight.any():
            weight.data = torch.randn(weight.shape, generator=generator).to(weight) / 10
    own = {key: value for key, value in preset.__dict__.items() if key not in DRAWING}
    own |= {"name": "a-student", "method": "student", "label_dropout": 0.0, "sampler": "ddim", "steps": 8}
    own |= {"predict": "v" if preset.predict == "epsilon" else preset.predict}
    guidance = preset.guidance if classes else 1.0
    own |= {"folded_guidance": guidance, "spacing": preset.spacing, **students}
    described = Student(**own, teacher="run").checked()
    learner = build_method(described, classes, arithmetic, 1)
    teacher.sampling = described.folded
    learner.learn_by(teacher)
    learner.start_from_pretrained()
    return teacher, learner


class Exact(nn.Module):
    """A network in another's place, whose predicted picture is `picture(x, level, labels)`, x at that level of the
    solved ladder."""

    def __init__(self, method, ladder, picture):
        super().__init__()
        self.method, self.ladder, self.picture = method, ladder, picture
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x, t, y):
        times = self.method.process.time_input(self.ladder.time[:-1])
        level = (t[:, None] - times[None]).abs().argmin(1)
        rates = self.ladder.alpha[level], self.ladder.sigma[level]
        a, b, c = (each[:, None, None, None] for each in self.method.parametrisation.coefficients(*rates))
        seen = x / c
        return self.scale * (self.picture(seen, level, y) - a * seen) / b


def put(method, ladder, picture):
    method.networks["unet"] = method.nets["unet"] = Exact(method, ladder, picture)
    method.optimizers["unet"] = torch.optim.SGD(method.networks["unet"].parameters(), lr=0.0)


# --- flows that are known ---------------------------------------------------------------------------------------------

MEAN, STD = 0.3, 0.5  # of pictures whose pixels are normal and independent


def gaussian_flow(x, ladder, start, end):
    """Where the flow of N(MEAN, STD²) leads from x at one level to another: the same quantile of the marginal there."""
    (a, s), (to_a, to_s) = (
        (ladder.alpha[i][:, None, None, None], ladder.sigma[i][:, None, None, None]) for i in (start, end)
    )
    spread = ((to_a * STD) ** 2 + to_s**2).sqrt() / ((a * STD) ** 2 + s**2).sqrt()
    return to_a * MEAN + spread * (x - a * MEAN)


def gaussian_sample(ladder, level):
    """Noisy pictures `[N, 3, 8, 8]` at the levels `[N]`."""
    generator = torch.Generator().manual_seed(0)
    a, s = (rate[level][:, None, None, None] for rate in (ladder.alpha, ladder.sigma))
    z = torch.randn(2, len(level), 3, 8, 8, generator=generator).double()
    return a * (MEAN + STD * z[0]) + s * z[1]


def posterior(ladder):
    """The mean of x_0 given x, which a perfect network sees."""

    def picture(x, level, y):
        a, s = (rate[level][:, None, None, None] for rate in (ladder.alpha, ladder.sigma))
        return MEAN + a * STD**2 / ((a * STD) ** 2 + s**2) * (x - a * MEAN)

    return picture


@pytest.mark.parametrize(("process", "predict"), PAIRS)
def test_an_exact_students_pictures_are_the_flows_ends_in_any_number_of_passes(process, predict):
    """Its network is told the passes; each jump then leads where the Gaussian's flow does, to rounding."""
    _, learner = pair(process=process, predict=predict, guidance=1.0)
    ladder = learner._solved

    def picture(x, level, y):
        span = (len(ladder) // torch.tensor(PASSES))[y // 3]
        return picture_between(x, gaussian_flow(x, ladder, level, level + span), ladder, level, level + span)

    put(learner, ladder, picture)
    noise = learner.noise(learner.start(0, 0)[0]) * ladder.sigma[0].item()
    first = torch.zeros(CHUNK, dtype=torch.int64)
    expected = gaussian_flow(noise, ladder, first, first + len(ladder))
    for passes in PASSES:
        learner.sampling = learner.preset.replaced(steps=passes).sampling()
        *_, last = learner.reverse(*learner.start(0, 0))
        torch.testing.assert_close(last.x, expected, rtol=1e-8, atol=1e-8)
        assert learner.evaluations == passes


@pytest.mark.parametrize(("process", "predict"), [("cosine", "v"), ("flow", "v"), ("edm", "edm")])
def test_a_perfect_teacher_is_followed_along_the_flow(process, predict):
    """Each of eight passes ends near where the Gaussian's flow does, in units of the noise there, and in four times the
    steps much nearer: the solver is of second order."""
    worst = []
    for steps in (24, 96):
        teacher, learner = pair(process=process, predict=predict, guidance=1.0, solver_steps=steps)
        ladder, errors = learner._solved, []
        put(teacher, ladder, posterior(ladder))
        for i in range(8):
            start = torch.full((4,), i * steps // 8)
            x = gaussian_sample(ladder, start)
            there = learner._by_teacher(x, start, start, None)
            exact = gaussian_flow(x, ladder, start, start + steps // 8)
            errors.append(((there - exact).abs().max() / max(1.0, ladder.sigma[start[0]].item())).item())
        worst.append(max(errors))
    assert worst[0] < 0.1 and worst[1] < worst[0] / 4, worst


def test_the_loss_of_an_exact_student_of_a_perfect_teacher_is_none():
    """On a Gaussian's flow, where all passes end alike whether they are one, two or the teacher's many."""
    teacher, learner = pair(process="flow", predict="v", guidance=1.0)
    ladder = learner._solved

    def picture(x, level, y):  # of the student: it is told the passes, the teacher's own steps are one level each
        span = (len(ladder) // torch.tensor(PASSES))[y // 3] if y is not None else torch.ones_like(level)
        return picture_between(x, gaussian_flow(x, ladder, level, level + span), ladder, level, level + span)

    put(teacher, ladder, lambda x, level, y: picture(x, level, None))
    teacher.sampling = dataclasses.replace(teacher.sampling, sampler="ddim")
    put(learner, ladder, picture)
    for start in range(0, 80, 8):
        assert learner.step({"data": batch_of(learner, 8, start)}, START)["loss"].item() < 1e-20
    put(learner, ladder, lambda x, level, y: picture(x, level, y) + 0.1)
    assert learner.step({"data": batch_of(learner, 8)}, START)["loss"].item() > 1e-3


def test_guidance_is_folded_in_and_its_interval_too():
    """A teacher that sees one picture a class: its flow leads to D_none + w (D_class - D_none) where guidance acts."""
    shown = torch.tensor([0.1, 0.2, 0.4, 0.0]).double()  # of classes 0 to 2, and of none (-1)
    for low, expected in ((0.0, 3 * shown[:3]), (0.2, shown[:3])):  # below t = 0.2 there is none of it
        teacher, learner = pair(process="flow", predict="x0", guidance=3.0, folded_from=low)
        put(teacher, learner._solved, lambda x, level, y: shown[y][:, None, None, None].expand_as(x))
        last = torch.full((3,), 21)
        there = learner._by_teacher(torch.randn(3, 3, 8, 8).double(), last, last, torch.arange(3))
        torch.testing.assert_close(there.mean((1, 2, 3)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("spacing", ["time", "snr"])
def test_the_levels_of_few_passes_are_among_those_of_more(process, spacing):
    ladder = levels(PROCESSES[process](), 24, spacing)
    for passes in PASSES:
        few = part(ladder, every=24 // passes)
        assert len(few) == passes and few.sigma[-1] == 0 and few.time[0] == ladder.time[0]
        assert set(few.time.tolist()) <= set(ladder.time.tolist())


# --- what it begins with, and what it learns --------------------------------------------------------------------------


def batch_of(method, count=4, start=0):
    shape = (count, method.rule.channels, method.preset.size, method.preset.size)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(start)).to(method.arithmetic.dtype) * 2 - 1
    return Batch(x, torch.arange(count) % 3, StepRandom(0, start, count))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("preset", ["digits-diffusion", "hw2-diffusion"])
def test_a_student_begins_as_its_teacher_in_any_number_of_passes(preset, classes):
    teacher, learner = pair(classes, preset=preset, size=8)
    x, t = torch.randn(3, 3, 8, 8).double(), torch.tensor([1.0, 400.0, 1000.0]).double()
    labels = torch.arange(3) if classes else None
    with torch.no_grad():
        expected = teacher.networks["unet"].eval()(x, t, labels)
        for passes in PASSES:
            learner.sampling = learner.preset.replaced(steps=passes).sampling()
            torch.testing.assert_close(learner.drawing_network.eval()(x, t, labels), expected)


def test_a_step_learns_all_numbers_of_passes_in_even_shares(monkeypatch):
    """A quarter of a batch each; those of the teacher's from one level a step, and in time from each."""
    _, learner = pair()
    asked = []
    finer = learner._finer
    monkeypatch.setattr(
        learner, "_finer", lambda x, start, place, y: asked.append((start, place)) or finer(x, start, place, y)
    )
    for number in range(40):
        learner.step({"data": batch_of(learner, 8, 8 * number)}, START)
    assert all(place.bincount(minlength=4).tolist() == [2, 2, 2, 2] for _, place in asked)
    starts = {k: {int(s) for start, place in asked for s in start[place == n]} for n, k in enumerate(PASSES)}
    assert starts == {k: set(range(0, 24, 24 // k)) for k in PASSES}
    assert all(len(start[place == 3].unique()) == 1 for start, place in asked)


@pytest.mark.parametrize(("process", "predict"), [("flow", "x0"), ("linear", "x0")])
def test_a_student_learns_where_the_guided_flow_ends(process, predict):
    """Of a teacher that sees one grey a class: in each number of passes that is what comes to be drawn."""
    shown = torch.tensor([-0.5, 0.1, 0.6, 0.0]).double()  # of classes 0 to 2, and of none (-1)
    teacher, learner = pair(process=process, predict=predict, guidance=1.5, optimizer="adam", lr=4e-3)
    put(teacher, learner._solved, lambda x, level, y: shown[y][:, None, None, None].expand_as(x))
    expected = 1.5 * shown[torch.arange(CHUNK) % 3][:, None, None, None]

    def distances():
        found = []
        for passes in PASSES:
            learner.sampling = learner.preset.replaced(steps=passes).sampling()
            *_, own = learner.reverse(*learner.start(0, 7))
            found.append((own.x - expected).square().mean().sqrt().item())
        return found

    before = distances()
    for number in range(60):
        learner.train_mode(True)
        learner.step({"data": batch_of(learner, 12, 12 * number)}, START)
    after = distances()
    assert all(end < 0.5 * start for end, start in zip(after, before, strict=True)), (before, after)


def test_what_a_student_costs_is_what_its_teachers_training_did():
    """Three passes an image of that; here three more for the target: 24 / 8 or 48 / 8 of the solver, or two."""
    _, learner = pair()
    assert affordable(learner.preset, 60_000, 3) == int(3 * 60_000 / ((6 + 2 + 2 + 2) / 4 + 3))
    assert affordable(learner.preset, 60_000, 0) == int(3 * 60_000 / ((3 + 2 + 2 + 2) / 4 + 3))
    assert affordable(learner.preset, 1, 3) == 1


# --- runs, from the command line --------------------------------------------------------------------------------------

TEACHER = {
    "size": 16, "width": 8, "patch": 4, "steps": 2, "guide": "both", "guidance": 2.0, "guidance_from": 0.1,
    "guidance_to": 0.9, "sampler": "unipc", "lr_warmup": 0, "ema_half_life": 4,
}  # fmt: skip
WORDS = ("--batch", 4, "--images", 16, "--threads", 1)


@pytest.fixture(scope="module")
def runs(faces, tmp_path_factory):
    """Teachers of classes, of an attribute and of nothing; a GAN, a judge, a student of the first; not evaluated."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        for module in (base, diffusion):
            patch.setattr(module, "CHUNK", CHUNK)
        patch.setattr(training, "CHECKS", 2)
        tiny.shorten_the_probe(patch.setattr)
        made = {
            "classes": tiny.of_pictures("digits-diffusion", faces[16], **TEACHER),
            "attribute": tiny.of_pictures(
                "faces-diffusion", faces[16], **TEACHER, condition="attribute", attribute="Red", process="cosine",
                predict="epsilon",
            ),
            "plain": tiny.of_pictures(
                "digits-diffusion", faces[16], **{**TEACHER, "guide": "unconditional"}, condition="none", process="edm",
                predict="edm",
            ),
            "gan": tiny.of_pictures("faces-gan", faces[16], size=16, width=8, latent=8),
            "judge": tiny.of_pictures("faces-attributes", faces[16], size=16, width=8, answers="classes"),
        }  # fmt: skip
        for name, preset in made.items():
            observers = [autoguidance.keeper(RunFolder(root / name))] if preset.family == "diffusion" else []
            assert tiny.train(preset, root / name, images=32, observers=observers)
        api.distill(root / "classes", root / "student", batch=4, images=16, threads=1, evaluate=False)
    return {path.name: path for path in root.iterdir()}


quick = pytest.mark.usefixtures("quick")


@quick
@pytest.mark.parametrize("teacher", ["classes", "attribute", "plain"])
def test_a_student_stopped_and_continued_ends_as_an_undisturbed_one(teacher, runs, tmp_path):
    """Stopped by SIGTERM in the middle: weights, moments and averages are bit-identical, and so are its pictures."""
    options = {"batch": 4, "images": 16, "threads": 1}
    whole = api.distill(runs[teacher], tmp_path / "whole", evaluate=False, **options)
    preset = api.student(runs[teacher], batch=4, images=16)
    stop = tiny.StopAt(8, signal.SIGTERM)
    parted = api.train(preset, tmp_path / "parted", evaluate=False, threads=1, start=runs[teacher], observers=[stop])
    assert whole.finished and not parted.finished and parted.folder.seen < 16
    parted = api.distill(runs[teacher], tmp_path / "parted", evaluate=False, **options)
    assert parted.finished
    assert tiny.different(tiny.last(whole.path), tiny.last(parted.path)) == []
    assert tiny.weights(whole.path) == tiny.weights(parted.path)
    said = [open_run(run.folder).method.sample(3, seed=0) for run in (whole, parted)]
    assert torch.equal(*said) and said[0].double().std(0).max() > 0


@quick
def test_what_a_student_remembers_of_its_teacher(runs):
    """Its guidance and digest, its held-out pictures and sets; what it predicts can be told of noise alone."""
    config = RunFolder(runs["student"]).config
    fields = config["preset"]["fields"]
    assert [fields[f"folded_{name}"] for name in ("guide", "guidance", "from", "to")] == ["both", 2.0, 0.1, 0.9]
    assert config["started_from"]["run"] == "classes" and len(fields["teacher_weights"]) == 16
    assert preset_of(config).solver_steps == 24 and config["images"] == 16
    assert not (runs["student"] / "checkpoints" / "weak.safetensors").exists()
    assert (
        api.student(runs["attribute"]).predict == "v"
        and preset_of(RunFolder(runs["attribute"]).config).predict == "epsilon"
    )


@quick
def test_steps_and_the_folded_guidance_alone_may_be_said_of_a_drawing(runs, tmp_path, capfd):
    words = ["sample", runs["student"], "--count", 4, "--out"]
    drawn = {}
    for steps in PASSES:
        told(capfd, *words, tmp_path / str(steps), "--steps", steps)
        drawn[steps] = [path.read_bytes() for path in sorted((tmp_path / str(steps)).glob("0*.png"))]
    assert len({tuple(pictures) for pictures in drawn.values()}) == len(PASSES) and len(drawn[1]) == 4
    told(capfd, *words, tmp_path / "same", "--guidance", 2, "--guide", "both")
    assert [path.read_bytes() for path in sorted((tmp_path / "same").glob("0*.png"))] == drawn[8]
    for flags, said in {
        ("--guidance", 3): "--guidance 2.0 folded in", ("--guidance", 1): "folded in", ("--guide", "weak"): "folded in",
        ("--guidance-from", 0.2): "folded in", ("--steps", 3): "1, 2, 4 or 8", ("--sampler", "unipc"): "--sampler",
        ("--eta", 1): "--eta", ("--skip", 0.5): "folded in", ("--label", "none"): "--label none",
    }.items():  # fmt: skip
        assert said in refused(capfd, *words, tmp_path / "none", *flags)
    assert not (tmp_path / "none").exists()


@quick
def test_who_cannot_be_distilled_is_refused(runs, tmp_path, capfd):
    out = ["--out", tmp_path / "out"]
    assert "generative adversarial" in refused(capfd, "distill", runs["gan"], *out)
    assert "a classifier" in refused(capfd, "distill", runs["judge"], *out)
    assert "is a student itself" in refused(capfd, "distill", runs["student"], *out)
    untrained = shutil.copytree(runs["classes"], tmp_path / "untrained")
    shutil.rmtree(untrained / "checkpoints")
    assert "no checkpoint yet" in refused(capfd, "distill", untrained, *out)
    early = shutil.copytree(runs["classes"], tmp_path / "early")
    (early / "checkpoints" / "weak.safetensors").unlink()
    assert "kept no early state" in refused(capfd, "distill", early, *out)
    assert "nothing to guide away from" in refused(capfd, "distill", runs["plain"], *out, "--guidance", 2)
    assert "multiple of 8" in refused(capfd, "distill", runs["classes"], *out, "--solver-steps", 12)
    assert "--images and --minutes" in refused(capfd, "distill", runs["classes"], *out, "--images", 9, "--minutes", 1)
    assert "--steps" in refused(capfd, "distill", runs["classes"], *out, "--steps", 5)
    assert "did you mean" in refused(capfd, "distill", runs["classes"], *out, "--guidence", 5)
    assert not (tmp_path / "out").exists()


@quick
def test_a_student_does_not_go_on_with_another_teacher_or_guidance(runs, tmp_path, capfd):
    run, teacher = (shutil.copytree(runs[name], tmp_path / name) for name in ("student", "classes"))
    words = ["distill", teacher, *WORDS, "--no-evaluate", "--out", run]
    told(capfd, *words)  # where the teacher lies is no part of what a student is
    assert "--folded-guidance" in refused(capfd, *words, "--guidance", 5, last_line=True)
    newest = RunFolder(teacher).saved()[-1]
    shutil.copy(RunFolder(runs["attribute"]).saved()[-1], newest)
    assert "teacher" in refused(capfd, *words, last_line=True)


@quick
def test_minus_n_prints_the_budget_and_writes_nothing(runs, tmp_path, capfd):
    printed = json.loads(told(capfd, "distill", runs["classes"], "-n", "--out", tmp_path / "out"))
    times = [min(1 - i / 24, 0.999) for i in range(24)]
    passes = (24 + 2 * sum(0.1 < t <= 0.9 for t in times)) / 8
    assert printed["images"] == printed["plan"]["images"] == int(3 * 32 / ((passes + 6) / 4 + 3))
    assert printed["folded_guidance"] == 2.0 and not (tmp_path / "out").exists()


@quick
def test_evaluation_sweep_comparison_and_page_know_a_student(runs, tmp_path, capfd):
    """Passes and words of the measures; the sweep's curve is over the passes alone."""
    run = shutil.copytree(runs["student"], tmp_path / "student")
    told(capfd, "evaluate", run, "--features", runs["judge"])
    results = json.loads((run / "results.json").read_text())
    assert results["evaluations_per_image"]["value"] == 8 and "class_accuracy" in results
    assert "guidance 2 (folded in) away from the mean" in results["evaluations_per_image"]["protocol"]
    told(capfd, "evaluate", run, "--steps", 2)
    assert json.loads((run / "results.json").read_text())["evaluations_per_image"]["value"] == 2
    swept = json.loads(told(capfd, "sweep", run, "--features", runs["judge"], "--count", 4, "--json"))
    assert {row["axis"] for row in swept["rows"]} == {"start", "steps"}
    assert [row["evaluations"] for row in swept["rows"]] == [8, 1, 2, 4, 8]
    assert "folded in" in refused(capfd, "sweep", run, "--features", runs["judge"], "--guidance", "1,2")
    assert "digits-diffusion-student" in told(capfd, "compare", runs["classes"], run)
    told(capfd, "report", runs["classes"], run, "--out", tmp_path / "page.html")
    assert "digits-diffusion-student" in (tmp_path / "page.html").read_text()


@quick
@pytest.mark.parametrize("teacher", ["classes", "plain"])
def test_an_exported_student_answers_in_the_passes_that_were_asked_for(teacher, runs, tmp_path, capfd):
    run = runs["student"]
    if teacher == "plain":
        run = api.distill(runs["plain"], tmp_path / "plain", batch=4, images=4, threads=1, evaluate=False).path
    answers = []
    for steps in (1, 8):
        file = tmp_path / f"{steps}.pt2"
        done = json.loads(told(capfd, "export", run, "--steps", steps, "--out", file, "--json"))
        assert done["part"] == "denoiser" and done["difference"] <= 1e-4
        with file.open("rb") as stream:
            extra = {"genshift.json": ""}
            module = torch.export.load(stream, extra_files=extra).module()
        noisy = torch.randn(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))
        given = (noisy, torch.full((2,), 0.9)) + ((torch.arange(2),) if teacher == "classes" else ())
        answers.append(module(*given))
        assert math.isclose(steps + 1, len(json.loads(json.loads(extra["genshift.json"])["ladder"])["time"]))
    assert answers[0].shape == (2, 16, 16, 3) and not torch.equal(*answers)
    told(capfd, "export", run, "--out", tmp_path / "weights.safetensors")


def test_two_processes_learn_what_one_does(runs, tmp_path):
    words = ["distill", runs["classes"], *WORDS, "--precision", "float64", "--no-evaluate", "--out"]
    tiny.torchrun("-m", "genshift", *words, tmp_path / "two")
    done = tiny.command(*words, tmp_path / "one")
    assert done.returncode == 0, done.stderr
    one, two = tiny.last(tmp_path / "one"), tiny.last(tmp_path / "two")
    assert one.keys() == two.keys() and RunFolder(tmp_path / "two").config["world"] == 2
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-7, atol=1e-9, msg=key)
