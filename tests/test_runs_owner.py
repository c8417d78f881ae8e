"""A run folder has one owner: who gets it, who is refused, who goes on beside it, and how it is let go."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tiny
from owners import Holder
from tiny import refused

import genshift
from genshift.cli import main
from genshift.errors import Refusal
from genshift.evaluation import evaluate as evaluating
from genshift.evaluation.options import EvaluationOptions
from genshift.runs import owner
from genshift.runs.folder import RunFolder
from genshift.runs.owner import MEASURING, TRAIN, TRAINING, owned, trained_by

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def holder():
    """Another process, which owns what it is told to."""
    holder = Holder()
    yield holder
    holder.end()


@pytest.fixture(scope="module")
def trained(domains, tmp_path_factory):
    """A run that was trained and never measured."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert tiny.train(tiny.tiny("demo-dann", domains, validation=0.25), run)
    return run


def taken(folder, *parts, said=None, **options):
    """Whether this process can take the parts of a folder; `said` gets its lines."""
    say = [].append if said is None else said.append
    with owned(RunFolder(folder), *(parts or (TRAINING,)), command=TRAIN, say=say, new=True, **options):
        return True


def note_of(folder, part=TRAINING):
    return folder / f".{part}.json"


def hidden(folder):
    return sorted(path.name for path in folder.glob(".*"))


def elsewhere(folder, seconds, **changes):
    """A note by a process of another machine, which gave its last sign of life so many seconds ago."""
    said = {"command": TRAIN, "pid": 77, "host": "elsewhere", "boot": "other", "since": "2026-01-01 00:00:00+00:00"}
    folder.mkdir(exist_ok=True)
    note_of(folder).write_text(json.dumps({**said, "token": "theirs", **changes}))
    now = note_of(folder).stat().st_mtime
    os.utime(note_of(folder), (now - seconds, now - seconds))


# --- one machine ----------------------------------------------------------------------------------------------------


def test_of_two_that_start_at_one_moment_one_gets_the_folder(holder, tmp_path):
    other = Holder()
    try:
        for race in range(5):
            folder = tmp_path / str(race)
            for process in (holder, other):
                process.tell(f"{folder}\t{TRAINING}\t{TRAIN}")
            answers = {process: process.hear() for process in (holder, other)}
            winner = next(process for process, answer in answers.items() if answer == "taken")
            loser = other if winner is holder else holder
            assert f"{folder} is in use by `genshift train` (process {winner.process.pid} on " in answers[loser]
            winner.let_go()
    finally:
        other.end()


def test_two_trainings_started_at_one_moment_leave_one_run(tmp_path):
    """The command itself, before config.json is there: a status of 0 and one of 2, and each row once."""
    out = tmp_path / "run"
    words = ["train", "demo-source", "--images", 640, "--threads", 1, "--no-evaluate", "--out", out]
    argv = [sys.executable, "-m", "genshift", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": tiny.environment()}
    starts = [subprocess.Popen(argv, **pipes) for _ in range(2)]
    ended = {start.pid: (*start.communicate(timeout=300), start.returncode) for start in starts}
    (_, won), (loser, lost) = sorted(ended.items(), key=lambda item: item[1][2])
    assert (won[2], lost[2]) == (0, 2), ended
    assert lost[1].startswith(f"genshift: {out} is in use by `genshift train` (process ") and lost[1].count("\n") == 1
    assert f" on {socket.gethostname()}, since 2" in lost[1] and f"process {loser} " not in lost[1]
    images = [row["images"] for row in tiny.rows(out) if "seconds" in row]
    assert images == sorted(set(images)) and RunFolder(out).seen == 640
    assert not hidden(out)


@tiny.POSIX
def test_a_stopped_owner_keeps_its_folder_and_a_killed_one_loses_it_at_once(tmp_path):
    mine, said = Holder(), []
    try:
        mine.take(tmp_path / "run")
        os.kill(mine.process.pid, signal.SIGSTOP)
        os.utime(note_of(tmp_path / "run"), (0, 0))  # no sign of life for years
        with pytest.raises(Refusal, match=f"process {mine.process.pid} on {socket.gethostname()}, since 2"):
            taken(tmp_path / "run")
    finally:
        mine.end()
    assert trained_by(RunFolder(tmp_path / "run")) is None
    assert taken(tmp_path / "run", said=said) and not said


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_it_lets_go_and_leaves_nothing(error, tmp_path):
    run = RunFolder(tmp_path / "new" / "run")
    with pytest.raises(error), owned(run, TRAINING, command=TRAIN, say=print, new=True):
        assert hidden(run.path) == [".training.json", ".training.lock"]
        raise error
    assert not list(tmp_path.iterdir()) and taken(run.path)


def test_a_thread_goes_on_owning_and_another_one_of_the_process_is_refused(tmp_path):
    run, refusals = RunFolder(tmp_path / "run"), []

    def start():
        with pytest.raises(Refusal) as refusal:
            taken(run.path)
        refusals.append(str(refusal.value))

    with owned(run, TRAINING, command=TRAIN, say=print, new=True):
        assert taken(run.path) and note_of(run.path).exists()
        other = threading.Thread(target=start)
        other.start()
        other.join()
    assert f"(process {os.getpid()} on " in refusals[0]


def test_of_torchruns_processes_the_leading_one_owns_for_all(holder, tmp_path, monkeypatch):
    holder.take(tmp_path / "run")
    monkeypatch.setenv("RANK", "1")
    assert taken(tmp_path / "run")
    holder.let_go()


def test_a_training_that_fails_or_is_interrupted_can_start_again(domains, tmp_path):
    """As in a notebook: two calls in one process."""
    preset, run = tiny.tiny("demo-source", domains), tmp_path / "run"

    def interrupt(images, method):
        raise KeyboardInterrupt

    with pytest.raises(Refusal, match="nowhere"):
        genshift.train(preset.replaced(source=str(tmp_path / "nowhere")), run, images=8)
    assert not run.exists()
    with pytest.raises(KeyboardInterrupt):
        genshift.train(preset, run, images=8, observers=[interrupt])
    assert not hidden(run)
    assert genshift.train(preset, run, images=8, evaluate=False).finished and not hidden(run)


# --- several machines -------------------------------------------------------------------------------------------------


def test_an_owner_elsewhere_is_waited_for_ten_minutes_and_then_taken_over_from(tmp_path):
    said = []
    elsewhere(tmp_path / "run", 540)
    with pytest.raises(Refusal, match=r"process 77 on elsewhere, .* after 600 silent seconds, and the last sign was 5"):
        taken(tmp_path / "run")
    elsewhere(tmp_path / "run", 660)
    assert taken(tmp_path / "run", said=said)
    assert len(said) == 1 and "taken over from `genshift train` (process 77 on elsewhere, " in said[0]
    assert "silent for 11 minutes" in said[0] and not hidden(tmp_path / "run")


def test_a_lock_that_a_dead_machine_left_is_taken_over_too(holder, tmp_path):
    holder.take(tmp_path / "run")
    elsewhere(tmp_path / "run", 660)
    assert taken(tmp_path / "run")
    holder.let_go()  # of a file that is gone
    assert not hidden(tmp_path / "run")


def test_a_container_shares_its_machines_locks_and_a_machine_that_started_again_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "_boot", lambda: "this start")
    elsewhere(tmp_path / "run", 0, boot="this start")
    assert taken(tmp_path / "run")
    elsewhere(tmp_path / "run", 0, host=socket.gethostname())
    assert taken(tmp_path / "run")


def test_signs_of_life_are_given_and_a_lost_note_is_written_again(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "BEAT", 0.01)
    note = note_of(tmp_path / "run")
    with owned(RunFolder(tmp_path / "run"), TRAINING, command=TRAIN, say=print, new=True):
        for lose in (lambda: os.utime(note, (0, 0)), note.unlink):
            lose()
            while not note.exists() or note.stat().st_mtime == 0:
                pass
        assert json.loads(note.read_text())["pid"] == os.getpid()


def test_a_training_that_was_taken_over_writes_no_more(domains, tmp_path):
    """Its machine was asleep; another one trains on."""
    run = tmp_path / "run"

    def take_over(images, method):
        if images == 12:
            elsewhere(run, 0)

    with pytest.raises(Refusal, match=r"was taken over by `genshift train` \(process 77 on elsewhere"):
        tiny.train(tiny.tiny("demo-source", domains), run, observers=[take_over])
    assert not RunFolder(run).saved() and not (run / "checkpoints" / "best.safetensors").exists()
    assert max(row["images"] for row in tiny.rows(run)) == 12
    assert hidden(run) == [".training.json", ".training.lock"], "they are the other's"


@pytest.mark.parametrize("text", ["", "[]", "[" * 10**5, '{"pid": 1}', "\xff", "RIGHT BUT FOR ITS HOST"])
def test_a_note_that_lies_is_no_name(text, holder, tmp_path):
    holder.take(tmp_path / "run")
    if text.startswith("RIGHT"):
        elsewhere(tmp_path / "run", 0, host="a\nb")
    else:
        note_of(tmp_path / "run").write_text(text, encoding="latin-1")
    with pytest.raises(Refusal, match="in use by a process that has not given its name: let it end"):
        taken(tmp_path / "run")
    holder.let_go()
    assert taken(tmp_path / "run")


# --- the verbs --------------------------------------------------------------------------------------------------------


def said_beside(capfd, *argv):
    """What a command that succeeds says on standard error."""
    capfd.readouterr()
    assert main.main([str(word) for word in argv]) == 0
    return capfd.readouterr()


def test_beside_a_training_what_reads_says_which_checkpoint_and_what_writes_is_refused(
    holder, trained, domains, tmp_path, capfd
):
    holder.take(trained)
    note = f"note: {trained} is being trained by `genshift train` (process {holder.process.pid} on "
    for words in (["predict", trained, domains[1], "--out", tmp_path / "a.csv"], ["evaluate", trained]):
        said = said_beside(capfd, *words)
        assert note in said.err and "; images-000000000024.safetensors answers." in said.err
    assert note in said_beside(capfd, "compare", trained).err
    assert note in said_beside(capfd, "report", trained, "--out", tmp_path / "page.html").err
    # What a training would change under them, or what would change a training.
    sets = ["--source", domains[0], "--target", domains[1]]
    train = ["train", "demo-dann", *sets, "--out", trained]
    for words in (["select", trained], ["sweep", trained, "--features", trained], ["clean", trained], train):
        assert f"{trained} is in use by `genshift train` (process " in refused(capfd, *words)
    holder.let_go()
    assert note not in said_beside(capfd, "predict", trained, domains[1], "--out", tmp_path / "b.csv").err
    assert not hidden(trained)


def test_beside_an_evaluation_none_measures_or_chooses(holder, trained, capfd):
    holder.take(trained, MEASURING, "genshift evaluate")
    for verb in ("evaluate", "select", "clean"):
        assert f"{trained} is in use by `genshift evaluate` (process " in refused(capfd, verb, trained)
    assert trained_by(RunFolder(trained)) is None
    holder.let_go()


def test_an_unfinished_run_that_is_being_trained_is_not_said_to_need_its_command(holder, domains, tmp_path, capfd):
    run = tmp_path / "run"
    assert tiny.train(tiny.tiny("demo-source", domains), run, observers=[tiny.StopAt(12)]) is False
    words = ["predict", run, domains[1], "--out", tmp_path / "labels.csv"]
    assert "its own command continues it" in said_beside(capfd, *words).out
    holder.take(run)
    assert "its own command continues it" not in said_beside(capfd, *words).out
    holder.let_go()


def test_a_study_is_refused_where_one_of_its_runs_is_being_trained(holder, tmp_path, capfd):
    holder.take(tmp_path / "demo-source-seed0")
    words = ("study", "demo", "--budget", "quick", "--only", "demo-source", "--out", tmp_path)
    said = refused(capfd, *words, last_line=True)
    assert f"{tmp_path / 'demo-source-seed0'} is in use by `genshift train` (process " in said
    holder.let_go()


def test_an_evaluation_is_of_the_checkpoint_that_it_opened(trained, monkeypatch):
    """A training beside it saves a newer one meanwhile."""
    run = RunFolder(trained)
    newer = run.checkpoints / "images-000000000999.safetensors"
    family = evaluating.FAMILIES["adaptation"]
    measure = family.measure

    def slowly(*arguments):
        newer.write_bytes(run.saved()[-1].read_bytes())
        return measure(*arguments)

    monkeypatch.setattr(family, "measure", slowly)
    seen = run.seen
    try:
        evaluating.evaluate(trained, EvaluationOptions(draw=False))
        assert run.read("evaluation.json")["images"] == seen
    finally:
        newer.unlink()


def test_a_training_waits_at_its_end_for_an_evaluation_under_way(holder, domains, tmp_path, capfd, monkeypatch):
    run, preset = tmp_path / "run", tiny.tiny("demo-source", domains)
    attempt = owner.Ownership._attempt

    def begin(images, method):
        if images == 24:
            holder.take(run, MEASURING, "genshift evaluate")

    def ends_after_one(self, say):
        if (reason := attempt(self, say)) is not None:
            holder.let_go()
        return reason

    monkeypatch.setattr(owner.Ownership, "_attempt", ends_after_one)
    assert genshift.train(preset, run, images=24, evaluate=False, observers=[begin]).finished
    assert f"{run} is in use by `genshift evaluate` " in (said := capfd.readouterr().err)
    assert said.count("waiting for its end …") == 1


def test_what_is_no_run_is_refused_as_ever_and_nothing_is_made(tmp_path, capfd):
    for verb in ("evaluate", "select", "clean"):
        assert "has no config.json: it is not a run folder" in refused(capfd, verb, tmp_path / "none")
    Path(tmp_path / "other.txt").write_text("mine")
    assert "holds other files and no run" in refused(capfd, "train", "demo-source", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]
