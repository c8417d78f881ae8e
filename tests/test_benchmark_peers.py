"""`benchmarks/peers.py`, `quality.py`, `ceilings.py`: what of them computes without measuring, and one real process."""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def harness():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def script(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def speeds(arm, *values, key="images_per_second", **more):
    rows = [{"task": "t", "arm": arm, "measurement": "train", "round": i, key: v} for i, v in enumerate(values, 1)]
    return [{**row, **more} for row in rows]


def test_a_ratio_is_of_neighbours_in_a_round():
    from beside import table

    found = [*speeds("genshift", 30.0, 60.0, 90.0), *speeds("plain", 10.0, 15.0)]
    assert table.ratios(found, "t", "plain", "images_per_second", True) == [3.0, 4.0]
    slower = [*speeds("genshift", 2.0, key="seconds"), *speeds("plain", 5.0, key="seconds")]
    assert table.ratios(slower, "t", "plain", "seconds", False) == [2.5]


def test_a_table_has_medians_with_their_range_and_says_nothing_of_what_was_not_measured():
    from beside import table

    found = [
        *speeds("genshift", 20.0, 30.0, 25.0, start_seconds=4.0, peak_mib=512.0),
        *speeds("plain", 10.0, 10.0, 10.0),
    ]
    drawn = table.training_table(found, {"t": ("A task", ("plain", "genshift", "absent"))}).splitlines()
    assert drawn[2].startswith("| A task | plain | 10 (10 to 10) | 2.5 (2 to 3) |")
    assert drawn[3].startswith("|  | genshift | 25 (20 to 30) | 1 |") and "512 (512 to 512)" in drawn[3]
    assert len(drawn) == 4 and "absent" not in "".join(drawn)


def test_of_memory_only_what_training_took_is_told():
    from beside import table

    epoch = {"task": "t", "arm": "plain", "measurement": "epoch", "round": 1, "peak_mib": 9999.0}
    found = [*speeds("plain", 10.0, peak_mib=100.0), epoch]
    assert "9,999" not in table.training_table(found, {"t": ("A task", ("plain",))})


def test_a_failure_is_told_once():
    from beside import table

    row = {"task": "t", "arm": "skada", "measurement": "train", "error": "no such thing"}
    assert table.errors([{**row, "round": 1}, {**row, "round": 2}]) == ["t, skada, train: no such thing"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (12.345, "12.3"), (123.4, "123"), (12345.6, "12,346"), (0, "0")]
)
def test_numbers_have_three_digits(value, text):
    from beside import table

    assert table.number(value) == text


def test_the_document_keeps_all_that_stands_outside_the_markers(tmp_path):
    from beside import table

    page = tmp_path / "speed.md"
    page.write_text(f"before\n{table.marker('peers')}\nold\n{table.marker('peers', end=True)}\nafter é\n", "utf-8")
    table.write_between(page, "peers", "| new |\n")
    table.write_between(page, "peers", "| newer |\n")
    begin, end = table.marker("peers"), table.marker("peers", end=True)
    assert page.read_text("utf-8") == f"before\n{begin}\n\n| newer |\n\n{end}\nafter é\n"
    assert list(tmp_path.iterdir()) == [page]


@pytest.mark.parametrize("name", ["peers", "quality", "ceilings"])
def test_the_document_that_the_commands_write_has_their_markers(name, tmp_path):
    from beside import table

    page = tmp_path / "speed.md"
    page.write_text((BENCHMARKS.parent / "docs" / "speed.md").read_text("utf-8"), "utf-8")
    table.write_between(page, name, "made up")
    assert page.read_text("utf-8").count("made up") == 1


def test_a_document_without_its_markers_is_refused_and_left(tmp_path):
    from beside import table

    page = tmp_path / "speed.md"
    page.write_text(f"{table.marker('peers', end=True)} {table.marker('peers')}", "utf-8")
    with pytest.raises(SystemExit, match="in this order"):
        table.write_between(page, "peers", "new")
    assert "new" not in page.read_text("utf-8")


def test_every_other_round_goes_backwards():
    from beside.measuring import rounds

    jobs = [{"arm": "a"}, {"arm": "b"}]
    assert [(n, job["arm"]) for n, job in rounds(2, jobs)] == [(1, "a"), (1, "b"), (2, "b"), (2, "a")]


def test_what_was_measured_is_not_measured_again_but_what_failed_is(tmp_path, monkeypatch):
    from beside import measuring

    monkeypatch.setattr(measuring, "others_at_work", lambda: 0.0)
    answers = iter([measuring.Failed("once"), {"images_per_second": 1.0}, {"images_per_second": 2.0}])

    def child(*words):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(measuring, "child", child)
    bench = measuring.Bench(Path(sys.executable), tmp_path, 1, lambda text: None)
    words = {"task": "t", "arm": "plain", "measurement": "train"}
    assert bench.measure(words, 1)["error"] == "once"
    assert bench.measure(words, 1)["images_per_second"] == bench.measure(words, 1)["images_per_second"] == 1.0
    assert bench.measure(words, 2)["images_per_second"] == 2.0
    assert bench.measure(words, 1)["round"] == 1 and bench.measure(words, 1)["threads"] == 1


def test_a_peer_that_is_absent_takes_its_arms_with_it():
    from beside.environment import PEERS

    served = {
        peer.name: [arm for arm in ("plain", "diffusers", "diffusers-bfloat16") if peer.serves(arm)] for peer in PEERS
    }
    assert served["diffusers"] == ["diffusers", "diffusers-bfloat16"] and not served["skada"]


def test_the_reason_of_a_failed_installation_is_its_last_line():
    from beside.environment import import_error, last_line

    assert last_line("a\nERROR: No matching distribution found for it.\n\n").endswith("found for it")
    assert last_line("") == "no reason was given"
    assert "no_such_peer" in import_error(Path(sys.executable), ("no_such_peer",))
    assert import_error(Path(sys.executable), ("json",)) is None


def test_every_arm_of_every_task_is_there():
    from beside.families import arms_of
    from beside.measures import MEASURES
    from beside.tasks import TASKS

    for task in TASKS.values():
        arms = MEASURES[task.name] if task.family == "measures" else arms_of(task.family)
        assert set(task.arms) <= set(arms), task.name
        assert "genshift" in task.arms


def test_the_same_pictures_come_from_memory_and_from_files(tmp_path):
    from beside.tasks import TASKS, pictures_of, write_pictures

    task = TASKS["dann-hw2"]
    write_pictures(task, "source", 12, tmp_path)
    made, read = pictures_of(task, "source", 12, None), pictures_of(task, "source", 12, tmp_path)
    assert (made.bytes() == read.bytes()).all() and (made.labels == read.labels).all()
    assert made.bytes().shape == (12, 28, 28, 3)
    ours = read.images("source")  # genshift's reader goes class by class
    order = torch.from_numpy(made.labels).argsort(stable=True)
    assert torch.equal(ours.images, made.images("source").images[order])
    assert [ours.classes[label] for label in ours.labels] == [str(label) for label in sorted(made.labels)]


def test_arms_are_given_the_same_weights_over_plain_layers():
    from beside.tasks import TASKS, method_of, plain_networks
    from torch import nn

    task = TASKS["mcc"]
    plain, ours = plain_networks(task), method_of(task, "float32").networks
    for name, net in ours.items():
        theirs = plain[name].state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in net.state_dict().items())
    kinds = {type(layer) for net in plain.values() for layer in net.modules()}
    assert nn.BatchNorm2d in kinds and not any(kind.__module__ == "genshift.nets.layers" for kind in kinds)


def test_an_unequal_loss_is_named():
    peers = script("peers")
    assert peers.differences({"own_loss": 2.0, "expected_loss": 2.001}) == []
    assert peers.differences({"own_loss": 2.0, "expected_loss": 2.1}) == ["loss 2.000000, expected 2.100000"]
    assert peers.differences({"error": "gone"}) == ["gone"] and peers.differences({"parameters": 1}) == []


def test_a_busy_machine_is_said_under_the_tables():
    peers = script("peers")
    args = argparse.Namespace(threads=1, rounds=1, quick=False)
    plan = {"t": {"title": "A task", "family": "adaptation", "arms": ["plain", "genshift"]}}
    found = [*speeds("genshift", 2.0, busy=0.0), *speeds("plain", 1.0, busy=0.0)]
    quiet = peers.document(found, plan, {"skada": "no wheel"}, {"torch": "2"}, args)
    assert (
        "not quiet" not in quiet and "skada could not be installed: no wheel." in quiet and "| plain | 1 | 2 |" in quiet
    )
    assert "not quiet" in peers.document([*found, *speeds("plain", 1.0, busy=1.5)], plan, {}, {}, args)


def test_two_sides_measure_the_same_distances():
    from beside.measures import kept, our_frechet, our_kid, our_precision, sides

    real, fake = sides("kid", 60)
    assert our_kid(real, fake)["kid"] > 0 and our_frechet(real, fake)["frechet"] > 2
    assert set(our_precision(real, fake)) == {"precision", "recall"}
    clusters, _ = sides("t-sne", 60)
    assert kept({"layout": clusters[:, :2].numpy()}, clusters)["trustworthiness"] > 0.5


def test_a_curve_is_told_by_minutes_and_an_arm_chooses_without_labels():
    quality = script("quality")
    points = [
        {"minutes": 5.0, "accuracy": 0.9, "information": 1.0, "n": 10},
        {"minutes": 10.0, "accuracy": 0.8, "information": 0.5, "n": 10},
    ]
    text = quality.document({"mnistm-svhn": {"genshift": points}}, argparse.Namespace(seed=0))
    assert "| genshift |  | 90 @ 5.0 | 80 @ 10.0 |" in text
    assert "genshift's own choice: 90.0%, after 5.0 minutes." in text


def test_what_quality_says_of_its_contests_is_what_they_are():
    from beside.learners import CONTESTS

    quality = script("quality")
    assert set(CONTESTS) == set(quality.CONTESTS) == set(quality.MINUTES)
    for name, contest in CONTESTS.items():
        assert (contest.peer, contest.minutes) == (quality.CONTESTS[name][3], quality.MINUTES[name])


def test_a_stopped_learner_goes_on_to_the_same_weights(tmp_path):
    from beside import learners
    from torch import nn

    class Line(learners.Learner):
        lr = 0.1

        def set_up(self):
            torch.manual_seed(0)
            self.networks = {"line": nn.Linear(2, 1)}
            self.optimizers = {"line": torch.optim.Adam(self.networks["line"].parameters())}

        def step(self, batch, share):
            loss = self.networks["line"](torch.ones(3, 2)).square().mean()
            self.optimizers["line"].zero_grad()
            loss.backward()
            self.optimizers["line"].step()

    whole, first = Line(None), Line(None)
    for _ in range(4):
        whole.step({}, 0.0)
    for _ in range(2):
        first.step({}, 0.0)
    learners.save_state(first, tmp_path / "state.safetensors", 2, 1.5)
    second = Line(None)
    assert learners.restore(second, tmp_path / "state.safetensors") == (2, 1.5)
    for _ in range(2):
        second.step({}, 0.0)
    assert torch.equal(whole.networks["line"].weight, second.networks["line"].weight)
    second.schedule(0.5)
    assert second.optimizers["line"].param_groups[0]["lr"] == pytest.approx(0.05)


def test_drawing_takes_as_many_steps_as_its_speed_allows(monkeypatch):
    from beside import judging

    now = iter([0.0, 3.0] * 3)  # a step of a chunk takes a second
    monkeypatch.setattr(judging, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    drawn = []
    draw = lambda count, steps: drawn.append((count, steps))  # noqa: E731
    assert judging.steps_within(draw, 1_000, 60.0) == 3 and drawn == [(50, 1), (50, 3)]
    assert judging.steps_within(draw, 1_000, 1.0) == 1 and judging.steps_within(draw, 50, 1e4) == judging.MOST_STEPS


def test_a_profile_is_parted_by_kind_and_an_optimizer_keeps_its_own():
    from beside.limits import OPTIMIZER, kind_of, kinds_of

    def event(name, time, parent=None):
        return SimpleNamespace(name=name, self_cpu_time_total=time, cpu_parent=parent)

    step = event("Optimizer.step#Adam.step", 1.0)
    shares = kinds_of([step, event("aten::mm", 1.0, step), event("aten::mm", 2.0), event("aten::copy_", 4.0)])
    assert shares == {"copies and casts": 0.5, OPTIMIZER: 0.25, "matrix products": 0.25}
    assert kind_of("aten::convolution_backward") == "convolutions" and kind_of("python") == "the rest, Python included"


def test_every_preset_whose_share_is_measured_takes_a_step_on_noise():
    from beside.limits import CEILINGS, batch_of, classes_of, cycle_of, noise

    from genshift import presets

    ceilings = script("ceilings")
    assert tuple(CEILINGS) == ceilings.CEILINGS
    for name in ceilings.PRESETS:
        preset = presets.get(name)
        images = noise(preset.replaced(size=8), "data")
        assert len(images) == 4 * batch_of(preset, "data") and cycle_of(preset) >= 1
        assert images.labels.max() < max(2, classes_of(preset))
    assert cycle_of(presets.get("faces-gan")) == 16


def test_a_share_is_of_the_ceiling_with_as_many_threads():
    ceilings = script("ceilings")
    row = {"task": "adapt", "threads": 1, "gflop_a_step": 10.0, "seconds_a_step": 0.1, "kinds": {"a": 0.7, "b": 0.3}}
    top = [{"task": ceilings.PRODUCT, "threads": n, "a_second": 200.0 * n} for n in (1, 2)]
    drawn = ceilings.shares_table([row, *top], [1, 2], ["adapt"]).splitlines()
    assert drawn[2:] == ["| adapt | a 70%, b 30% | 1 | 10 | 0.1 | 100 | 50 |"]
    assert "| 200 | 400 |" in ceilings.ceilings_table(top, [1, 2])


def test_a_measuring_process_answers_in_its_last_line():
    from beside.measuring import Failed, child

    asked = {"task": "mcc", "arm": "genshift", "measurement": "check", "count": 64, "threads": 1, "started": 0}
    found = child(Path(sys.executable), "beside.worker", asked, 1)
    assert found["own_loss"] == pytest.approx(found["expected_loss"], rel=1e-4) and found["parameters"] > 1e6
    assert found["peak_mib"] > 100
    with pytest.raises(Failed, match="no_such_arm"):
        child(Path(sys.executable), "beside.worker", {**asked, "arm": "no_such_arm"}, 1)


@pytest.mark.parametrize(("name", "words"), [("peers", ["--quick"]), ("ceilings", ["--quick"]), ("quality", [])])
def test_figures_of_a_trial_are_never_written(name, words, tmp_path):
    trial = ["--minutes", 1, "--data-root", tmp_path, "--contests", "mnistm-svhn"] if name == "quality" else words
    page = tmp_path / "speed.md"
    done = tiny.python(BENCHMARKS / f"{name}.py", "--out", tmp_path / "out", *trial, "--write", page)
    assert done.returncode == 2 and "--write out" in done.stderr
    assert not page.exists() and not (tmp_path / "out").exists()
