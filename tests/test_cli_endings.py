"""How commands end: with their result and the next command; `train --json`, `--log`, `--no-evaluate` and `-n`."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import faces_tiny
import pytest
import tiny
from tiny import refused, told

from genshift import studies
from genshift.cli import main
from genshift.evaluation import adaptation
from genshift.training import train as training
from genshift.training.console import Console

pytestmark = pytest.mark.usefixtures("quick")


def words(domains, out, *more, name="demo-dann"):
    """`genshift train` on two tiny domains, six steps."""
    flags = ["--source", domains[0], "--target", domains[1], "--images", 24, "--batch-source", 4, "--batch-target", 4]
    return ["train", name, *flags, "--precision", "float32", "--out", out, *more]


def last_line(capfd, *argv):
    """The last line that a command prints."""
    return told(capfd, *argv).splitlines()[-1]


@pytest.fixture(scope="module")
def run(domains, tmp_path_factory):
    """A trained and evaluated run."""
    out = tmp_path_factory.mktemp("endings") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKS", 2)
        assert main.main([str(word) for word in words(domains, out)]) == 0
    return out


# --- train ------------------------------------------------------------------------------------------------------------


def test_train_ends_with_what_evaluate_prints_and_the_next_command(domains, run, tmp_path, capfd):
    trained = told(capfd, *words(domains, tmp_path / "run")).splitlines()
    evaluated = told(capfd, "evaluate", tmp_path / "run").splitlines()
    assert trained[:-1] == evaluated[:-1] and len(trained) == 9  # three held-out images: no verdict
    measured = r"oracle/target_test_accuracy +0\.\d+ ± 0\.\d+ \(0\.\d+ to 0\.\d+\)  \(n = 20; .*two, test images, .*\)"
    assert re.fullmatch(measured, trained[3])
    assert trained[-1] == f"next: genshift predict {tmp_path / 'run'} {domains[1]} --out labels.csv"
    assert evaluated[-1] == f"next: genshift report {tmp_path / 'run'} --out page.html"
    # Again: nothing to train, nothing to measure, the same end.
    assert told(capfd, *words(domains, tmp_path / "run")).splitlines() == trained


def test_the_next_command_can_be_typed(run, capfd, monkeypatch, tmp_path, domains):
    monkeypatch.chdir(tmp_path)
    following = last_line(capfd, *words(domains, run)).removeprefix("next: genshift ")
    assert "40 predictions" in told(capfd, *following.split())


def test_no_evaluate_measures_nothing(domains, tmp_path, capfd):
    printed = told(capfd, *words(domains, tmp_path / "run", "--no-evaluate"))
    assert printed == f"next: genshift predict {tmp_path / 'run'} {domains[1]} --out labels.csv\n"
    assert not (tmp_path / "run" / "results.json").exists()
    assert "oracle/target_test_accuracy" in told(capfd, *words(domains, tmp_path / "run"))


def test_json_is_all_that_stands_on_standard_output(domains, tmp_path, capfd):
    printed = json.loads(told(capfd, *words(domains, tmp_path / "run", "--json")))
    assert (printed["run"], printed["finished"], printed["warnings"]) == (str(tmp_path / "run"), True, [])
    assert printed["results"] == json.loads((tmp_path / "run" / "results.json").read_text())
    printed = json.loads(told(capfd, *words(domains, tmp_path / "other", "--json", "--no-evaluate")))
    assert printed["results"] == {}


def test_a_log_gets_every_line(domains, tmp_path, capfd):
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    capfd.readouterr()
    assert main.main([str(word) for word in words(domains, tmp_path / "run", "--log", log)]) == 0
    lines = log.read_text().splitlines()
    assert lines[0] == "before" and lines[1:] == capfd.readouterr().err.splitlines()
    assert any("24 of 24 images" in line for line in lines) and any("-step probe: " in line for line in lines)
    said = refused(capfd, *words(domains, tmp_path / "other", "--log", tmp_path / "no" / "log.txt"))
    assert "writing the log" in said and not (tmp_path / "other").exists()


@tiny.POSIX
def test_a_log_that_is_a_pipe_is_not_waited_for(domains, tmp_path, capfd):
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe, which would wait" in refused(
        capfd, *words(domains, tmp_path / "run", "--log", tmp_path / "pipe")
    )
    assert not (tmp_path / "run").exists()


def test_a_stopped_training_says_so_and_names_no_next_command(domains, tmp_path, capfd, monkeypatch):
    capfd.readouterr()
    stop = tiny.StopAt(12)
    monkeypatch.setattr("genshift.evaluation.evaluate.FAMILIES", {"adaptation": Stopping(stop)})
    assert main.main([str(word) for word in words(domains, tmp_path / "run", "--json")]) == 130
    said = capfd.readouterr()
    assert json.loads(said.out)["finished"] is False and "the same command continues" in said.err


class Stopping:
    """A family that is watched by one observer alone."""

    def __init__(self, observer):
        self.observers = lambda *asked: [observer]


def test_without_a_terminal_a_training_has_few_lines(domains, tmp_path, capfd):
    capfd.readouterr()
    assert main.main([str(word) for word in words(domains, tmp_path / "run", "--images", 160, "--no-evaluate")]) == 0
    assert len(capfd.readouterr().err.splitlines()) <= 20 + 8, "of forty readings every second has a line"


def test_a_log_may_not_be_a_file_of_the_runs_own(domains, run, capfd):
    before = (run / "config.json").read_bytes()
    said = refused(capfd, *words(domains, run, "--log", run / "config.json"))
    assert "lies in the run folder" in said and (run / "config.json").read_bytes() == before
    told(capfd, *words(domains, run, "--log", run / "training.log"))
    assert "nothing to train" in (run / "training.log").read_text()


# --- a plan -----------------------------------------------------------------------------------------------------------


def test_a_plan_tells_minutes_memory_and_disk_and_writes_nothing(domains, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    assert main.main([str(word) for word in words(domains, "run", "-n")]) == 0
    said = capfd.readouterr()
    planned = json.loads(said.out)
    assert planned["preset"] == "demo-dann" and planned["source"] == str(domains[0])
    plan = planned["plan"]
    assert plan["images"] == 24 and plan["seconds"] > 0 and plan["memory_gib"] > 0.05
    assert re.search(
        r"^24 images: about \d+ s of training on this machine, \d.\d\d GiB of memory, 0.\d\d GiB of disk\.$",
        said.err,
        re.M,
    )
    assert not os.listdir(tmp_path)


def test_a_plans_disk_is_that_of_the_run(domains, tmp_path, capfd):
    plan = json.loads(told(capfd, *words(domains, tmp_path / "run", "-n")))["plan"]
    told(capfd, *words(domains, tmp_path / "run", "--no-evaluate"))
    size = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert size / 2**30 <= plan["disk_gib"] <= 4 * size / 2**30  # six steps keep fewer candidates than a training


def test_minutes_are_planned_as_images(domains, tmp_path, capfd):
    flags = [word for word in words(domains, tmp_path / "run", "-n", "--minutes", 2) if word not in ("--images", 24)]
    plan = json.loads(told(capfd, *flags))["plan"]
    assert plan["seconds"] == pytest.approx(120, rel=0.01) and plan["images"] > 24


def test_a_plan_refuses_what_training_would(domains, run, tmp_path, capfd):
    assert "There is no data set 'nowhere'" in refused(capfd, *words(("nowhere", domains[1]), tmp_path / "x", "-n"))
    assert "There is no folder or file ./x" in refused(capfd, *words((domains[0], "./x"), tmp_path / "x", "-n"))
    (tmp_path / "thesis.tex").write_text("")
    assert "holds other files and no run" in refused(capfd, *words(domains, tmp_path, "-n"))
    assert "is a run of demo-dann, not demo-source" in refused(capfd, *words(domains, run, "-n", name="demo-source"))
    assert "was begun with --lr" in refused(capfd, *words(domains, run, "-n", "--lr", 0.5))
    assert json.loads(told(capfd, *words(domains, run, "-n")))["plan"]["images"] == 24


# --- every other verb -------------------------------------------------------------------------------------------------

COMMAND = r"next: genshift [a-z]+ .+"


def test_verbs_on_a_classifier_name_the_next_command(run, domains, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert last_line(capfd, "predict", run, domains[1], "--out", "x.csv") == f"next: genshift evaluate {run}"
    assert last_line(capfd, "embed", run, domains[1], "--out", "x.npz") == f"next: genshift evaluate {run}"
    assert last_line(capfd, "compare", run) == f"next: genshift report {run} --out page.html"
    capfd.readouterr()
    assert main.main(["report", str(run), "--out", "page.html"]) == 0
    said = capfd.readouterr()
    assert said.out == "page.html\n" and said.err == f"next: genshift compare {run}\n"
    assert last_line(capfd, "ls", run) == "next: genshift show adapt"
    assert last_line(capfd, "show", "hw3-gan") == "next: genshift train hw3-gan --out runs/hw3-gan"
    sets = "--source LABELLED --target UNLABELLED"
    for name in ("adapt", "mcc"):
        assert last_line(capfd, "show", name) == f"next: genshift train {name} {sets} --out runs/{name}"


def test_data_commands_name_the_next_command(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert last_line(capfd, "data", "ls") == "next: genshift data check uci"
    trained = "next: genshift train adapt --source uci --target UNLABELLED --out runs/mine"
    assert last_line(capfd, "data", "check", "uci") == trained
    assert last_line(capfd, "data", "check", "uci", "--data-root", tmp_path) == trained.replace(
        " --out", f" --data-root {tmp_path} --out"
    )
    assert last_line(capfd, "data", "pack", "uci", "--out", "packed") == "next: genshift data check packed"
    told(capfd, "data", "check", "packed")


def test_verbs_on_generators_name_the_next_command(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faces_tiny.write_portraits(tmp_path / "faces")
    small = ["--data", "faces", *faces_tiny.SMALL, "--latent", 8, "--no-evaluate"]
    trained = last_line(capfd, "train", "faces-vae", *small, "--prior", "normal", "--out", "vae")
    assert trained == "next: genshift sample vae --count 100 --out samples"
    assert last_line(capfd, "sample", "vae", "--count", 3, "--out", "samples") == "next: genshift evaluate vae"
    reconstructed = last_line(capfd, "reconstruct", "vae", "samples", "--out", "again")
    assert reconstructed == "next: genshift embed vae samples --out features.npz"
    assert re.fullmatch(COMMAND, last_line(capfd, "evaluate", "vae"))


@pytest.mark.parametrize(
    ("budget", "following"),
    [
        ("quick", "next: genshift study demo --budget cpu --seeds 1 --out out"),
        ("cpu", "next: genshift compare out"),  # it trained what full would
        ("full", "next: genshift compare out"),
    ],
)
def test_a_study_names_the_next_command(budget, following, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "CHECKS", 1)
    monkeypatch.setattr(studies.Study, "images", lambda self, preset, budget: 64)
    monkeypatch.setattr(adaptation, "TSNE_IMAGES", 40)
    own = studies.Study.presets
    monkeypatch.setattr(studies.Study, "presets", lambda self: own(self)[:1])
    assert last_line(capfd, "study", "demo", "--budget", budget, "--seeds", 1, "--out", "out") == following


def test_the_plan_of_a_part_of_a_study_names_the_command_that_trains_that_part(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = ["--only", "usps→mnistm", "hw3-vae", "--without", "adda", "--threads", 1]
    said = last_line(capfd, "study", "hw3", "-n", "--budget", "quick", *part)
    flags = "--only 'usps→mnistm' hw3-vae --without adda --threads 1"
    assert said == f"next: genshift study hw3 --budget quick {flags} --out runs/hw3"


# --- terminals that show little ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["--help", "ls", "data ls", "compare RUN", "evaluate RUN"])
def test_a_terminal_of_ascii_alone(verb, run, monkeypatch):
    """What it cannot show it shows escaped, rich's lines too."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    assert main.main(verb.replace("RUN", str(run)).split()) == 0
    Console().say("12 ± 3")
    out, err = ([stream.flush(), stream.buffer.getvalue().decode("ascii")][1] for stream in streams)
    assert "Traceback" not in err and err.endswith("12 \\xb1 3\n")
    assert any(escape in out for escape in ("\\xb1", "\\xd7", "\\u2026", "\\u2192")), out


@tiny.POSIX
def test_a_closed_standard_error_is_not_written_into_what_a_script_reads():
    script = f"{shlex.quote(sys.executable)} -m genshift ls /dev --json 2>&-"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["presets"]


@tiny.POSIX
def test_names_that_move_the_terminal_are_shown_escaped(run, tmp_path, capfd):
    evil = shutil.copytree(run, tmp_path / "a\x1b[31m\nb")
    for words in (
        ["ls", tmp_path],
        ["compare", evil],
        ["evaluate", evil],
        ["predict", evil, "uci", "--out", evil / "x"],
    ):
        said = told(capfd, *words)
        assert "a\\x1b[31m\\nb" in said and "\x1b" not in said
