"""Studies: which runs, within which budget, and that only what is missing is trained."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest
import tiny
from workers import until

from genshift import api, studies
from genshift.cli import main
from genshift.errors import Refusal
from genshift.evaluation import adaptation
from genshift.presets import PRESETS, Classifier, Generator
from genshift.presets.reports import BOUNDS_AND_DANN
from genshift.report.results_md import write_results
from genshift.studies import STUDIES, Study
from genshift.studies.running import jobs_of, run_study
from genshift.training import train as training


def test_every_preset_belongs_to_a_study_but_that_of_a_users_own_folders(tmp_path):
    named = [preset.name for study in STUDIES.values() for preset in study.presets()]
    assert set(named) == set(PRESETS) - {"adapt", "adapt-photos", "adapt-source"}
    counts = {"demo": 4, "hw2": 11, "hw3": 16, "faces": 8, "digits": 3}
    counts |= {
        "adaptation": 72,
        "default": 8,
        "adda-tables": 18,
        "pooling-tables": 18,
        "dann-tables": 18,
        "balance-tables": 4,
    }
    assert {study: len(STUDIES[study].presets()) for study in STUDIES} == counts
    for study in STUDIES.values():
        runs = [job.out.name for job in jobs_of(study, "cpu", tmp_path, 1, None)]
        assert len(runs) == len(set(runs)) == len(study.presets())


def test_an_unknown_study_is_refused_with_the_nearest():
    with pytest.raises(Refusal, match="no study 'dmeo': did you mean 'demo'"):
        studies.get("dmeo")


@pytest.mark.parametrize("name", STUDIES)
def test_budgets(name, tmp_path):
    study = STUDIES[name]
    minutes = 0.0
    for preset in study.presets():
        quick, cpu, full = (study.images(preset, budget) for budget in ("quick", "cpu", "full"))
        assert full == preset.images
        by_method = min(preset.images, study.cpu.get(preset.method, preset.images))
        assert cpu == study.cpu.get(preset.name, by_method)
        assert quick <= cpu and (cpu <= full or preset.name == "hw3-target-svhn-usps")
        assert studies.core_seconds(preset) * cpu / 60_000 <= studies.MOST_MINUTES or preset.name in studies.LONG
        minutes += studies.core_seconds(preset) * quick / 60_000
    assert round(minutes, 6) <= studies.QUICK_MINUTES
    for budget in ("quick", "cpu", "full"):
        for job in jobs_of(study, budget, tmp_path, seeds=1, data_root=None):
            own = PRESETS[job.preset.name]
            assert job.preset.images == study.images(own, budget)
            as_own = job.preset.images == own.images
            assert job.preset.origins.get("images") == (
                own.origins.get("images") if as_own else f"ours (the study's {budget} budget)"
            )


@pytest.mark.parametrize("budget", ["quick", "cpu"])
@pytest.mark.parametrize(("name", "tasks"), [("hw2", 2), ("hw3", 3)])
def test_the_roles_of_a_table_learn_from_equal_numbers(name, tasks, budget, tmp_path):
    roles = {}
    for job in jobs_of(STUDIES[name], budget, tmp_path, seeds=1, data_root=None):
        if job.preset.method in BOUNDS_AND_DANN:
            roles.setdefault(job.preset.task, []).append(job.preset.images)
    assert len(roles) == tasks and all(len(images) == 3 and len(set(images)) == 1 for images in roles.values())


def test_the_reports_own_budgets_are_given_where_they_fit(tmp_path):
    images = {}
    for name in ("hw2", "hw3"):
        images |= {job.preset.name: job.preset.images for job in jobs_of(STUDIES[name], "cpu", tmp_path, 1, None)}
    whole = [name for name in images if name.startswith(("hw3-dann", "hw3-adda", "hw2-dann-mnistm-usps"))]
    assert len(whole) == 7 and all(images[name] == PRESETS[name].images for name in whole)
    assert images["hw3-gan"] == images["hw3-vae"] == 100 * 4_500
    assert images["hw2-gan-a"] == images["hw2-gan-b"] == 128_000 and images["hw2-diffusion"] == 300_000
    seeds = [job.seed for job in jobs_of(STUDIES["hw2"], "cpu", tmp_path, 3, None) if job.preset.name in studies.LONG]
    assert seeds == [0]


def test_adda_is_varied_by_the_reports_rates_and_transforms(tmp_path):
    """hw3, problem 4: rates 1e-3, 1e-4 and 1e-5, each best for one task; problem 3's transform beside this one's."""
    jobs = jobs_of(STUDIES["adda-tables"], "cpu", tmp_path, seeds=1, data_root=None)
    for task in ("usps-mnistm", "mnistm-svhn", "svhn-usps"):
        own = PRESETS[f"hw3-adda-{task}"]
        runs = [job.preset for job in jobs if job.preset.name == own.name]
        transforms = {(run.colour, run.mean, run.std) for run in runs if run.lr == own.lr}
        assert transforms == {(colour, *pixel) for colour in ("rgb", "grey") for pixel in ((0.0, 1.0), (0.5, 0.5))}
        as_own = [run for run in runs if (run.colour, run.mean) == (own.colour, own.mean)]
        assert sorted(run.lr for run in as_own) == [1e-5, 1e-4, 1e-3] and len(runs) == 6
        assert [run for run in runs if run.published] == [run for run in as_own if run.lr == own.lr]


def test_max_poolings_are_varied_with_their_size_apart(tmp_path):
    """hw2, problem 3: five need 32 pixels; of two at 28 and at 32, size and pooling are told apart."""
    jobs = jobs_of(STUDIES["pooling-tables"], "cpu", tmp_path, seeds=3, data_root=None)
    runs = {(job.preset.name, job.preset.pooling, job.preset.size) for job in jobs}
    names = [f"hw2-{method}-mnistm-{target}" for method in ("source", "dann", "target") for target in ("svhn", "usps")]
    settings = (("two", 28), ("two-averaged", 32), ("five", 32))
    assert runs == {(name, *setting) for name in names for setting in settings} and len(jobs) == 3 * len(runs)
    assert all(bool(job.preset.published) == (job.preset.pooling == "two") for job in jobs)


def test_dann_is_varied_by_the_same_transforms_and_by_its_loaders(tmp_path):
    """hw3, problem 3: the transform decides whether DANN learns; four of each task, the preset's own among them.
    Unequal batches of zipped loaders make up for sets of unequal sizes: zipped, and with equal batches, once each."""
    jobs = jobs_of(STUDIES["dann-tables"], "cpu", tmp_path, seeds=1, data_root=None)
    for task in ("usps-mnistm", "mnistm-svhn", "svhn-usps"):
        own = PRESETS[f"hw3-dann-{task}"]
        runs = [job.preset for job in jobs if job.preset.name == own.name]
        fed = {(run.loaders, run.batch_source, run.batch_target) for run in runs}
        batches = own.batch_source, own.batch_target
        assert fed == {("walked", *batches), ("zipped", *batches), ("walked", 64, 64)}
        alike = [run for run in runs if (run.loaders, run.batch_source, run.batch_target) == ("walked", *batches)]
        transforms = [(run.colour, run.mean, run.std) for run in alike]
        assert sorted(transforms) == [(c, *p) for c in ("grey", "rgb") for p in ((0.0, 1.0), (0.5, 0.5))]
        assert [run for run in runs if run.published] == [
            run for run in alike if (run.colour, run.mean) == ("grey", 0.5)
        ]


@dataclass(frozen=True)
class TinyStudy(Study):
    """Two roles over two tiny domains."""

    domains: tuple = ()

    def presets(self):
        made = [tiny.tiny(f"demo-{role}", self.domains) for role in ("dann", "source")]
        return [replace(preset, images=8) for preset in made]


@pytest.fixture
def study(domains, monkeypatch):
    monkeypatch.setattr(training, "CHECKS", 1)
    return TinyStudy("demo", "tiny", {}, seeds=2, domains=domains)


def test_jobs_come_baseline_first_and_only_the_first_seed_is_drawn(study, tmp_path):
    jobs = jobs_of(study, "full", tmp_path, seeds=2, data_root=None)
    assert [(job.preset.method, job.seed, job.evaluation.draw) for job in jobs] == [
        ("source", 0, True),
        ("dann", 0, True),
        ("source", 1, False),
        ("dann", 1, False),
    ]
    assert [job.out.name for job in jobs[:2]] == ["demo-source-seed0", "demo-dann-seed0"]
    assert jobs[3].command.startswith("genshift train demo-dann --")
    assert jobs[3].command.endswith(" --seed 1 --out demo-dann-seed1") and " --images 8 " in jobs[3].command
    threaded = jobs_of(study, "full", tmp_path, seeds=1, data_root=None, threads=3)
    assert threaded[0].command.endswith(" --images 8 --seed 0 --out demo-source-seed0 --threads 3")


def test_a_study_trains_what_is_missing_and_reports(study, tmp_path, monkeypatch):
    record = tmp_path / "record"
    page = run_study(study, "full", tmp_path / "out", seeds=1, record=record).page
    assert page == tmp_path / "out" / "page.html" and page.stat().st_size > 0
    runs = ["demo-dann-seed0", "demo-source-seed0"]
    assert sorted(path.name for path in record.iterdir()) == runs
    for run in runs:
        kept = json.loads((record / run / "results.json").read_text())
        assert kept == json.loads((tmp_path / "out" / run / "results.json").read_text())
        assert "oracle/target_test_accuracy" in kept
        assert "tsne" in json.loads((tmp_path / "out" / run / "evaluation.json").read_text())
        assert (record / run / "config.json").exists()
        assert (record / run / "scores.json").exists() == (run == "demo-dann-seed0")

    with pytest.raises(Refusal, match="is a run with its checkpoints"):
        run_study(study, "full", tmp_path / "out", seeds=1, record=tmp_path / "out")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    assert run_study(study, "full", tmp_path / "out", seeds=2).finished
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert len(list((tmp_path / "out").glob("demo-*"))) == 4


def test_a_study_of_variants_names_its_runs_and_tells_them_apart(domains, tmp_path, monkeypatch):
    """Through the command line: run folders, commands that make the same runs again, and the table by setting."""
    monkeypatch.setattr(training, "CHECKS", 1)
    monkeypatch.setitem(PRESETS, "hw3-adda-usps-mnistm", tiny.tiny("hw3-adda-usps-mnistm", domains, images=16))
    small = Study("adda-tables", "tiny", {}, variants={"hw3-adda-usps-mnistm": ({"lr": 1e-4}, {"lr": 0.002})})
    monkeypatch.setitem(STUDIES, "adda-tables", small)
    argv = ["study", "adda-tables", "--budget", "full", "--seeds", "1", "--record", str(tmp_path / "kept" / "adda")]
    assert main.main([*argv, "--out", str(tmp_path / "out")]) == 0
    runs = sorted(path.parent.name for path in (tmp_path / "out").glob("*/results.json"))
    assert runs == ["hw3-adda-usps-mnistm-lr-0.002-seed0", "hw3-adda-usps-mnistm-seed0"]
    config = json.loads((tmp_path / "out" / runs[0] / "config.json").read_text())
    assert config["preset"]["fields"]["lr"] == 0.002 and config["preset"]["published"] == {}
    assert config["command"].startswith("genshift train hw3-adda-usps-mnistm --")
    assert "--images 16 " in config["command"] and " --lr 0.002 --seed 0 --out " in config["command"]
    page = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "by learning rate and task" in page and "by transform and task" not in page
    kept = sorted(path.name for path in (tmp_path / "kept" / "adda" / runs[0]).iterdir())
    measures = ["oracle.jsonl", "results.json", "samples", "scores.json", "selection.json"]
    assert kept == ["config.json", "evaluation.json", "metrics.jsonl", *measures]
    text = write_results(tmp_path / "kept", tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| lr 0.0001 |" in text and "| lr 0.002 |" in text and text.count(" ○ ") + text.count(" ○** ") == 1


def test_what_train_alone_evaluated_is_drawn_by_the_study(study, tmp_path):
    """`genshift train` evaluates without t-SNE; the study's page shows the first seed's."""
    job = jobs_of(study, "full", tmp_path, seeds=1, data_root=None)[0]
    api.train(job.preset, job.out)
    assert "tsne" not in json.loads((job.out / "evaluation.json").read_text())
    run_study(study, "full", tmp_path, seeds=1)
    assert "tsne" in json.loads((job.out / "evaluation.json").read_text())


@tiny.POSIX
def test_a_terminated_study_saves_both_of_its_runs(tmp_path):
    """SIGTERM to `genshift study --jobs 2` alone, as a batch system sends it."""
    argv = [sys.executable, "-m", "genshift", "study", "demo", "--budget", "full", "--seeds", "2", "--jobs", "2"]
    argv += ["--only", "demo-source"]
    process = subprocess.Popen(
        [*argv, "--threads", "1", "--out", tmp_path], env=tiny.environment(), stderr=-1, text=True
    )
    until(lambda: len(list(tmp_path.glob("*/metrics.jsonl"))) == 2, 120)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.count("Stopped and saved at") == 2 and "Traceback" not in said, said
    assert len(list(tmp_path.glob("*/checkpoints/images-*"))) >= 2
    assert not (tmp_path / "page.html").exists() and len(list(tmp_path.iterdir())) == 2


def test_a_study_that_is_stopped_writes_no_page_and_continues(study, tmp_path, monkeypatch):

    def stopping(*_):
        return lambda images, method: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training, "CHECKS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(adaptation, "oracle_curve", stopping)
        longer = replace(study)
        monkeypatch.setattr(TinyStudy, "images", lambda self, preset, budget: 16)
        stopped = run_study(longer, "full", tmp_path / "out", seeds=1)
        assert (stopped.page, stopped.finished, stopped.left_out) == (None, False, {})
    assert not (tmp_path / "out" / "page.html").exists()
    assert run_study(longer, "full", tmp_path / "out", seeds=1).page is not None


def test_jobs_side_by_side_give_the_same_runs(study, tmp_path):
    assert run_study(study, "full", tmp_path / "two", seeds=1, jobs=2, threads=1).page
    for preset in study.presets():
        assert tiny.train(preset, tmp_path / preset.name, images=preset.images)
        run = tmp_path / "two" / f"{preset.name}-seed0"
        assert tiny.different(tiny.last(tmp_path / preset.name), tiny.last(run)) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [({"jobs": 0}, "--jobs must be 1"), ({"seeds": 0}, "--seeds must be 1"), ({"threads": -1}, "--threads must")],
)
def test_numbers_below_one_are_refused(options, says, study, tmp_path):
    with pytest.raises(Refusal, match=says):
        run_study(study, "full", tmp_path, **options)


@pytest.mark.parametrize(
    "name, judges",
    [
        ("hw2", {"celeba": "faces-attributes-seed0", "mnistm": "digits-classifier-seed9"}),
        ("hw3", {"celeba": "faces-attributes-seed0"}),
        ("faces", {"celeba": "faces-attributes-seed0"}),
        ("digits", {"mnistm": "digits-classifier-seed9"}),
    ],
)
def test_generators_are_measured_in_the_features_of_their_own_sets_classifier(name, judges, tmp_path):
    jobs = jobs_of(STUDIES[name], "cpu", tmp_path, seeds=2, data_root=None, weights=tmp_path / "inception.pth")
    classifiers = [job.out.name for job in jobs if isinstance(job.preset, Classifier)]
    assert classifiers == [job.out.name for job in jobs[: len(classifiers)]] and set(classifiers) == set(
        judges.values()
    )
    generators = [job for job in jobs if isinstance(job.preset, Generator)]
    assert {job.seed for job in generators if job.preset.name not in STUDIES[name].once} in ({0, 1}, set())
    for job in generators:
        assert (job.evaluation.features, job.evaluation.weights) == (
            tmp_path / judges[job.preset.task], tmp_path / "inception.pth"
        )  # fmt: skip
    for job in jobs:
        if job not in generators:
            assert (job.evaluation.features, job.evaluation.weights) == (None, None)
            assert f"--seed {job.seed} --out {job.out.name}" in job.command


def test_the_digits_are_judged_by_a_seed_that_no_generator_has(tmp_path):
    jobs = jobs_of(STUDIES["digits"], "cpu", tmp_path, seeds=3, data_root=None)
    judge, generators = jobs[0], jobs[1:]
    assert [job.preset.name for job in generators] == ["digits-diffusion", "hw2-diffusion"] * 3
    assert judge.seed == 9 and judge.seed not in {job.seed for job in generators}


@pytest.mark.parametrize("name", ["hw2", "hw3", "faces"])
def test_gans_see_equal_numbers_of_faces_and_so_do_vaes(name, tmp_path):
    jobs = jobs_of(STUDIES[name], "cpu", tmp_path, seeds=1, data_root=None)
    budgets = {(job.preset.method, job.preset.images) for job in jobs if job.preset.method in ("gan", "vae")}
    assert len(budgets) == len({role for role, _ in budgets}) > 0
