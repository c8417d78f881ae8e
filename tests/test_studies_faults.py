"""A study that can be trusted with a night: its plan, what is left out and why, and a larger budget in its folder."""

import errno
import json
import shlex
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import tiny
from data_files import mnistm_members, write_mnist, write_pictures, write_tar

from genshift import studies
from genshift.cli import main
from genshift.data import load
from genshift.errors import Refusal
from genshift.evaluation import adaptation, evaluate
from genshift.presets import PRESETS
from genshift.report.page import write_page
from genshift.runs import checkpoint, find
from genshift.runs.folder import RunFolder
from genshift.studies import STUDIES, Judge, Study, plan, running
from genshift.studies.jobs import jobs_of, selected
from genshift.studies.needs import missing_sets
from genshift.studies.plan import Cost, plan_study
from genshift.studies.running import run_study
from genshift.training import train as training

NUL = {"lr": 1e30}  # a rate that makes any network NaN


@dataclass(frozen=True)
class OwnStudy(Study):
    """A study of the test's own presets; the larger budgets are 8, 16 and 24 images."""

    own: tuple = ()

    def presets(self):
        return list(self.own)

    def images(self, preset, budget):
        return {"quick": 8, "cpu": 16, "full": 24}[budget]


@pytest.fixture
def of(quick, monkeypatch):
    """Registers a study of the presets that it is given. What steps take is not measured, maps are not computed, and
    the page is a list of what it shows and what it does not."""

    def listed(folders, out, missing=()):
        out.write_text("\n".join([*(folder.name for folder in folders), *missing]), encoding="utf-8")
        return out

    monkeypatch.setattr(plan, "_measure", lambda job: Cost(6.0, 1.0, 0.1))
    monkeypatch.setattr(running, "write_page", listed)
    monkeypatch.setattr(adaptation, "tsne", lambda features, seed: np.zeros((len(features), 2)))

    def register(*own):
        study = OwnStudy("demo", "tiny", {}, seeds=1, own=own)
        monkeypatch.setitem(STUDIES, "demo", study)
        return study

    return register


def run(capfd, *argv):
    """The exit status of `genshift study demo ARGV`, and its lines on both streams."""
    capfd.readouterr()
    status = main.main(["study", "demo", *map(str, argv)])
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    return status, said.out.splitlines(), said.err.splitlines()


def page(out):
    return (out / "page.html").read_text(encoding="utf-8").partition("<script>")[0]


def finish(study, budget, out):
    """Runs a study, of which nothing may be left out."""
    assert run_study(study, budget, out).left_out == {}


# --- the plan -------------------------------------------------------------------------------------------------------


def test_the_plan_is_printed_and_nothing_is_written(of, domains, tmp_path, capfd):
    of(tiny.tiny("demo-source", domains), PRESETS["hw3-gan"], PRESETS["digits-diffusion"].replaced(data="uci"))
    status, lines, err = run(capfd, "-n", "--out", tmp_path / "out", "--budget", "full", "--jobs", 2)
    assert status == 0 and not (tmp_path / "out").exists() and not err
    head, row, _, sums, left_out, *notes = lines
    assert head.split() == ["run", "images", "minutes", "memory", "disk"]
    assert row.split() == ["demo-source-seed0", "24", "2.4", "1.0", "0.10"]  # 6 seconds each
    assert sums.startswith("2 runs: about 5 min of training on one core (about 2 min where 2 run at a time)")
    assert left_out.startswith("Left out: hw3-gan-seed0. The train images of 'celeba' were not found; looked in")
    assert any(note.startswith("Without FID: --weights") for note in notes) and notes[-1].startswith(
        "next: genshift study"
    )


def test_what_is_trained_costs_nothing_more(of, domains, tmp_path, monkeypatch):
    study = of(tiny.tiny("demo-source", domains), tiny.tiny("demo-dann", domains))
    run_study(study, "quick", tmp_path, only=["demo-source"])
    runs = plan_study(study, "cpu", tmp_path).runs
    assert [(run.job.preset.method, run.left, run.note) for run in runs] == [("source", 8, "from 8"), ("dann", 16, "")]
    assert [run.note for run in plan_study(study, "quick", tmp_path).runs] == ["trained", ""]
    monkeypatch.setattr(plan, "_measure", None)  # what is trained is not tried either
    (run,) = plan_study(study, "quick", tmp_path, only=["demo-source"]).runs
    assert (run.note, run.minutes, run.disk_gib) == ("trained", 0, 0)


def test_a_few_steps_tell_what_a_run_takes(domains, tmp_path):
    preset = tiny.tiny("hw3-adda-usps-mnistm", domains)
    job = jobs_of(OwnStudy("demo", "tiny", {}, own=(preset,)), "cpu", tmp_path, 1, None)[0]
    cost = plan._measure(job)
    assert 0 < cost.seconds < 10 and plan.OF_A_PROCESS < cost.memory_gib < 2 and 0 < cost.disk_gib < 1
    assert not any(tmp_path.iterdir())


def test_long_runs_are_named_as_what_can_be_left_out(of, domains, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_measure", lambda job: Cost(600.0, 1.0, 0.1))
    lines = plan_study(of(tiny.tiny("demo-source", domains)), "cpu", tmp_path).lines
    assert "demo-source alone takes about 2.7 h of that: --without demo-source leaves it out." in lines


@pytest.mark.parametrize(
    ("only", "without", "names"),
    [
        (["hw2-gan-*"], [], {"faces-attributes", "hw2-gan-a", "hw2-gan-b"}),  # and who judges them
        (["mnistm-svhn"], ["dann"], {"hw2-source-mnistm-svhn", "hw2-target-mnistm-svhn"}),
        (["mnistm→usps", "diffusion"], ["source", "target", "classifier"], {"hw2-dann-mnistm-usps", "hw2-diffusion"}),
    ],
)
def test_runs_are_chosen_by_preset_pattern_family_or_task(only, without, names, tmp_path):
    jobs = jobs_of(STUDIES["hw2"], "cpu", tmp_path, seeds=1, data_root=None)
    assert {job.preset.name for job in selected(jobs, only, without)} == names


def test_a_study_is_printed_as_commands_for_a_queue(capfd, tmp_path):
    """Blocks in their order: judges, baselines, the rest; each command trains that run, and nothing else."""
    told = tiny.told(capfd, "study", "hw2", "--commands", "--seeds", "2", "--threads", "1", "--out", tmp_path)
    lines = told.splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        *(f"# block {number}: these may run side by side" for number in (1, 2, 3)), "# at the end",
    ]  # fmt: skip
    commands = [shlex.split(line) for line in lines if line.startswith("genshift study")]
    named = [command[command.index("--one") + 1] for command in commands]
    jobs = jobs_of(STUDIES["hw2"], "cpu", tmp_path, seeds=2, data_root=None)
    assert sorted(named) == sorted(job.out.name for job in jobs) and named[0] == "faces-attributes-seed0"
    assert {tuple(command[:4]) for command in commands} == {("genshift", "study", "hw2", "--budget")}
    assert all("--threads" in command and "--seeds" in command for command in commands)
    assert lines[-1] == shlex.join(["genshift", "report", str(tmp_path), "--out", str(tmp_path / "page.html")])
    assert not any(tmp_path.iterdir())


def test_one_run_of_a_study_is_made_without_plan_and_page(of, domains, tmp_path, capfd):
    of(tiny.tiny("demo-source", domains), tiny.tiny("demo-target", domains))
    words = ("--budget", "cpu", "--out", tmp_path)
    assert run(capfd, *words, "--one", "demo-target-seed0")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["demo-target-seed0"]
    assert (tmp_path / "demo-target-seed0" / "results.json").exists()
    assert run(capfd, *words)[0] == 0 and (tmp_path / "page.html").exists()
    said = tiny.refused(capfd, "study", "demo", *words, "--one", "demo-targe-seed0")
    assert "There is no run of this study 'demo-targe-seed0': did you mean 'demo-target-seed0'" in said


def test_several_processes_a_run_are_torchruns(capfd, tmp_path):
    told = tiny.told(
        capfd, "study", "demo", "--commands", "--processes", 2, "--seeds", 1, "--only", "demo-dann", "--out", tmp_path
    )
    (command,) = (shlex.split(line) for line in told.splitlines() if line.startswith("torchrun"))
    assert command[:6] == ["torchrun", "--standalone", "--nproc_per_node=2", "-m", "genshift", "study"]
    assert command[command.index("--processes") + 1] == "2"
    assert command[command.index("--one") + 1].startswith("demo-dann")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--gpus", 1], "--gpus 1: expected 0 or more, for a process on a cluster"),
        (["--cluster", "nowhere:1", "--jobs", 2], "--jobs is of this machine, and a cluster runs what its nodes hold"),
        (["--processes", 0], "--processes must be above 0"),
    ],
)
def test_what_is_of_a_cluster_alone_is_refused_elsewhere(words, says, capfd, tmp_path):
    assert says in tiny.refused(capfd, "study", "demo", *words, "--out", tmp_path / "out")


@pytest.mark.parametrize("flag", ["--photos", "--weights"])
def test_a_home_that_nobody_has_is_a_sentence(flag, tmp_path, capfd):
    said = tiny.refused(capfd, "study", "hw2", "-n", flag, "~nobody-here/x", "--out", tmp_path)
    assert "~nobody-here/x names the home folder of a user who is not known here" in said


def test_a_word_that_names_no_run_is_refused_with_the_nearest(capfd, tmp_path):
    said = tiny.refused(capfd, "study", "hw2", "-n", "--only", "hw2-gan-c", "--out", tmp_path)
    assert "There is no run or section of this study 'hw2-gan-c': did you mean 'hw2-gan-" in said


# --- what is left out -----------------------------------------------------------------------------------------------


def test_a_missing_set_leaves_out_its_own_rows(of, domains, tmp_path, capfd, monkeypatch):
    of(tiny.tiny("demo-source", domains), PRESETS["hw3-gan"])
    monkeypatch.setattr(running, "write_page", write_page)
    status, _, err = run(capfd, "--budget", "quick", "--out", tmp_path)
    assert status == 2 and err[-1].startswith("genshift: hw3-gan-seed0 is left out: The train images of 'celeba' were")
    assert err[-1].endswith("The same command tries again.")
    assert "Left out: hw3-gan-seed0. The train images of" in page(tmp_path) and "demo-source" in page(tmp_path)
    assert (tmp_path / "demo-source-seed0" / "results.json").exists() and not (tmp_path / "hw3-gan-seed0").exists()
    assert run(capfd, "--budget", "quick", "--out", tmp_path, "--only", "demo-source")[0] == 0  # not asked for


def test_a_run_that_diverges_or_is_refused_leaves_out_its_own_rows(of, domains, tmp_path, capfd):
    """A rate that gives NaN, and a folder that holds something else; a third run is trained all the same."""
    of(tiny.tiny("demo-source", domains), tiny.tiny("demo-dann", domains, **NUL), tiny.tiny("demo-target", domains))
    (tmp_path / "demo-source-seed0").mkdir()
    (tmp_path / "demo-source-seed0" / "thesis.txt").write_text("mine")
    status, _, err = run(capfd, "--budget", "cpu", "--out", tmp_path)
    assert status == 2 and "(1 more reason above.) The same command tries again." in err[-1]
    shown = page(tmp_path)
    assert "Left out: demo-dann-seed0. " in shown and "became NaN or infinite at step" in shown
    assert "Left out: demo-source-seed0. " in shown and "holds other files and no run" in shown
    assert (tmp_path / "demo-target-seed0" / "results.json").exists() and "Still to come" not in shown


def test_a_generator_whose_judge_diverged_is_measured_without(of, faces, tmp_path, monkeypatch):
    judge = tiny.of_pictures("faces-attributes", faces[16], size=16, width=4, lr_warmup=0, **NUL)
    gan = tiny.of_pictures("faces-gan", faces[16], size=16, width=4, latent=8)
    monkeypatch.setattr(studies, "JUDGES", {})
    monkeypatch.setattr("genshift.studies.jobs.judge_of", lambda preset: Judge(judge.name, 0) if preset.draws else None)
    outcome = run_study(of(gan, judge), "quick", tmp_path)
    ((reason, names),) = outcome.left_out.items()
    assert names == ["faces-attributes-seed0"] and "became NaN or infinite" in reason
    results = json.loads((tmp_path / "faces-gan-seed0" / "results.json").read_text())
    assert "sharpness" in results and "frechet" not in results and outcome.page.exists()


def test_a_full_disk_leaves_out_what_it_stopped(of, domains, tmp_path, monkeypatch):
    save = checkpoint.save

    def full(path, state):
        if "dann" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(path, state)

    study = of(tiny.tiny("demo-dann", domains), tiny.tiny("demo-source", domains))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        outcome = run_study(study, "quick", tmp_path)
    (reason,) = outcome.left_out
    assert "the disk is full" in reason and "Left out: demo-dann-seed0" in page(tmp_path)
    outcome = run_study(study, "quick", tmp_path)
    assert outcome.left_out == {} and "Left out" not in page(tmp_path) and "demo-dann" in page(tmp_path)


def test_a_page_that_cannot_be_written_in_between_stops_nothing(of, domains, tmp_path, monkeypatch, capfd):
    def unwritten(folders, *others, **more):
        if len(folders) == 1:
            raise Refusal("Stopped while writing the page: the disk is full.")
        return write(folders, *others, **more)

    write = running.write_page
    monkeypatch.setattr(running, "write_page", unwritten)
    outcome = run_study(of(tiny.tiny("demo-dann", domains), tiny.tiny("demo-source", domains)), "quick", tmp_path)
    assert outcome.page.exists() and "warning: Stopped while writing the page" in capfd.readouterr().err


class Killed(BaseException):
    """SIGKILL, as far as a test in this process can have it: nothing is tidied up on purpose."""


@pytest.mark.parametrize("phase", ["training", "evaluation", "page"])
def test_what_is_killed_in_a_phase_is_continued_by_the_same_call(phase, of, domains, tmp_path, monkeypatch):
    monkeypatch.setattr(adaptation, "oracle_curve", lambda *_: None)
    places = {
        "training": (training.Trainer, "check"),
        "evaluation": (evaluate.AdaptationEvaluation, "measure"),
        "page": (running, "write_page"),
    }
    study, asked = of(tiny.tiny("demo-dann", domains), tiny.tiny("demo-source", domains)), []

    def killed(*arguments, work, **options):
        asked.append(1)
        if len(asked) == 2:
            raise Killed
        return work(*arguments, **options)

    owner, name = places[phase]
    with monkeypatch.context() as patch:
        work = getattr(owner, name)
        patch.setattr(owner, name, lambda *a, **k: killed(*a, work=work, **k))
        with pytest.raises(Killed):
            run_study(study, "cpu", tmp_path / "killed")
    finish(study, "cpu", tmp_path / "killed")
    assert len(page(tmp_path / "killed").splitlines()) == 2
    if phase == "training":
        finish(study, "cpu", tmp_path / "whole")
        one, other = (tmp_path / out / "demo-source-seed0" for out in ("killed", "whole"))
        assert tiny.different(tiny.last(one), tiny.last(other)) == [] and tiny.weights(one) == tiny.weights(other)


def test_the_page_is_written_after_every_run(of, domains, tmp_path, monkeypatch):
    pages = []

    def looking(job):
        pages.append(page(tmp_path) if (tmp_path / "page.html").exists() else None)
        return work(job)

    work = running.run_job
    monkeypatch.setattr(running, "run_job", looking)
    methods = ("source", "dann", "target")
    run_study(of(*(tiny.tiny(f"demo-{method}", domains) for method in methods)), "quick", tmp_path)
    assert pages[0] is None and "Still to come: demo-dann-seed0, demo-target-seed0." in pages[1]
    assert "Still to come: demo-target-seed0." in pages[2] and "Still to come" not in page(tmp_path)


# --- a larger budget ------------------------------------------------------------------------------------------------


def test_a_larger_budget_goes_on_or_trains_anew_in_the_same_folder(of, domains, tmp_path, capfd):
    """Source-only goes on to the same weights; of DANN with its rising λ the smaller run is moved, and nothing lost."""
    risen = partial(tiny.tiny, "demo-dann", domains, lam_schedule="dann")
    study = of(tiny.tiny("demo-source", domains), risen())
    run_study(study, "quick", tmp_path / "out")
    before = tiny.last(tmp_path / "out" / "demo-dann-seed0")
    capfd.readouterr()
    outcome = run_study(study, "cpu", tmp_path / "out")
    said = capfd.readouterr().err
    assert "The budget grows from 8 to 16 images." in said
    assert "demo-dann-seed0 had 8 images, and its λ rises over the budget: it lies in" in said
    aside = tmp_path / "out" / find.SET_ASIDE / "demo-dann-seed0"
    assert tiny.different(tiny.last(aside), before) == [] and (aside / "results.json").exists()
    finish(study, "cpu", tmp_path / "whole")
    for preset in ("demo-source-seed0", "demo-dann-seed0"):
        one, other = (tmp_path / out / preset for out in ("out", "whole"))
        assert tiny.different(tiny.last(one), tiny.last(other)) == []
        assert json.loads((one / "evaluation.json").read_text())["images"] == 16
        fields = [json.loads((run / "config.json").read_text())["preset"]["fields"] for run in (one, other)]
        assert fields[0] == fields[1] and fields[0]["images"] == 16
    assert [path.name for path in find.find_runs([tmp_path / "out"])] == ["demo-dann-seed0", "demo-source-seed0"]
    assert outcome.page and len(page(tmp_path / "out").splitlines()) == 2
    # A smaller budget finds them trained.
    assert [run.note for run in plan_study(study, "quick", tmp_path / "out").runs] == ["trained", "trained"]
    finish(study, "quick", tmp_path / "out")
    assert RunFolder(tmp_path / "out" / "demo-dann-seed0").seen == 16


def test_a_cleaned_run_of_a_smaller_budget_is_moved_too(of, domains, tmp_path):
    study = of(tiny.tiny("demo-source", domains))
    run_study(study, "quick", tmp_path)
    assert main.main(["clean", str(tmp_path / "demo-source-seed0")]) == 0
    finish(study, "cpu", tmp_path)
    assert RunFolder(tmp_path / find.SET_ASIDE / "demo-source-seed0").seen == 8
    assert RunFolder(tmp_path / "demo-source-seed0").seen == 16


def test_quick_measures_few_pictures_and_a_larger_budget_more(of, domains, tmp_path, monkeypatch):
    study = of(tiny.tiny("demo-source", domains))
    jobs = [jobs_of(study, budget, tmp_path, 1, None)[0] for budget in ("quick", "cpu")]
    assert [(job.checks, job.evaluation.most) for job in jobs] == [(4, 100), (None, None)]
    monkeypatch.setattr("genshift.studies.jobs.QUICK_PICTURES", 5)
    run_study(study, "quick", tmp_path)
    evaluation = tmp_path / "demo-source-seed0" / "evaluation.json"
    assert len(json.loads(evaluation.read_text())["tsne"]["x"]) == 10
    few = json.loads(evaluation.read_text())
    options = replace(jobs[0].evaluation, most=None)
    assert few["most"] == 5 and not evaluate.is_current(RunFolder(evaluation.parent), options)


# --- MNIST-M --------------------------------------------------------------------------------------------------------


@pytest.fixture
def part(tmp_path, monkeypatch):
    """A data root with a part of MNIST-M, a cache of its own, and a job that needs the set."""
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    write_tar(tmp_path / "data" / "mnist_m" / "mnist_m.tar.gz", mnistm_members(6))
    return tmp_path / "data", jobs_of(STUDIES["digits"], "cpu", tmp_path, 1, None)


def test_a_part_of_mnistm_is_not_trained_on(part):
    root, jobs = part
    sentence = missing_sets(jobs, root, None, print, build=True)["mnistm"]
    assert "Only 6 of MNIST-M's 60,000 pictures are here, and no photos to build it from" in sentence
    assert "`genshift data build mnistm --photos DIR`" in sentence
    write_pictures(root / "bsds500")
    assert "and no MNIST to build it from" in missing_sets(jobs, root, None, print, build=True)["mnistm"]


@pytest.mark.parametrize("given", [False, True])
def test_mnistm_is_built_where_mnist_and_photos_are_at_hand(given, part, tmp_path):
    root, jobs = part
    write_mnist(root)
    photos = write_pictures(tmp_path / "mine" if given else root / "bsds500")
    said = []
    assert missing_sets(jobs, root, photos if given else None, said.append, build=False) == {}
    assert "will be built from MNIST and" in said[0] and not (tmp_path / "cache").exists()
    assert missing_sets(jobs, root, photos if given else None, said.append, build=True) == {}
    assert len(load("mnistm", data_root=root)) == 40  # as many as MNIST has here
    said.clear()
    assert missing_sets(jobs, root, None, said.append, build=True) == {} and not said
