"""Processes side by side: how many, and how they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from workers import until, work

from genshift.errors import Refusal
from genshift.studies import commands
from genshift.studies.workers import side_by_side

pytestmark = tiny.POSIX
SCRIPT = Path(__file__).with_name("workers.py")


def run(folder, *kinds, most=2):
    """Whether none stopped, and how each ended: None, or the sentence."""
    ended = {}

    def note(item, refusal):
        ended[item[1]] = refusal and str(refusal)

    return side_by_side([(folder, kind) for kind in kinds], work, most, lambda item: item[1], note), ended


def marks(folder):
    return sorted(path.name for path in folder.iterdir())


def test_all_are_done(tmp_path):
    assert run(tmp_path, "a", "b", "c", most=3) == (True, dict.fromkeys("abc"))
    assert [name for name in marks(tmp_path) if name.startswith("done")] == ["done-a", "done-b", "done-c"]


def test_after_a_refusal_the_others_go_on(tmp_path):
    assert run(tmp_path, "refused", "a", "b") == (True, {"refused": "The data are not there.", "a": None, "b": None})


def test_after_one_that_stopped_none_is_begun(tmp_path):
    """`work` returns False where a signal reached a training alone."""
    (tmp_path / "one").mkdir()
    process = subprocess.Popen([sys.executable, SCRIPT, tmp_path, "long-1", "long-2", "long-3"], stdout=subprocess.PIPE)
    until(lambda: len(marks(tmp_path)) == 3)
    os.kill(int((tmp_path / "begun-long-1").read_text()), signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == b"False\n"
    assert "saved-long-2" in marks(tmp_path) and "begun-long-3" not in marks(tmp_path)


@pytest.mark.parametrize(("kind", "says"), [("killed", "was ended by signal 9"), ("broken", "failed with what stands")])
def test_a_process_that_dies_is_a_sentence(kind, says, tmp_path):
    finished, ended = run(tmp_path, kind, "a", "b")
    assert finished and f"The process of {kind} {says}" in ended.pop(kind) and ended == {"a": None, "b": None}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("group", [False, True], ids=["parent", "terminal"])
def test_a_signal_to_the_parent_lets_all_save(number, group, tmp_path):
    """Ctrl-C at a terminal, or its end, reaches every process; `kill` the parent alone, and SIGKILL tells nobody."""
    if group and number == signal.SIGKILL:
        pytest.skip("kills them all")
    kinds = ["long-1", "long-2", "long-3"]
    process = subprocess.Popen([sys.executable, SCRIPT, tmp_path, *kinds], stdout=-1, stderr=-1, start_new_session=True)
    until(lambda: len(marks(tmp_path)) == 2)
    (os.killpg if group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=60)
    until(lambda: len(marks(tmp_path)) == 4, 20)
    assert marks(tmp_path) == ["begun-long-1", "begun-long-2", "saved-long-1", "saved-long-2"]
    if number != signal.SIGKILL:
        assert (out, err) == (b"False\n", b"") and process.returncode == 0


def test_what_a_command_says_is_how_a_run_ended(tmp_path):
    """torchrun has a status of its own: the sentence tells a refusal, and what is stopped saves."""
    code = "import sys; print('genshift: The data are not there.'); print('more', file=sys.stderr); sys.exit(1)"
    ended = commands.call(["-c", code])
    job = SimpleNamespace(out=tmp_path)
    assert ended == (1, "genshift: The data are not there.")
    with pytest.raises(Refusal, match="The data are not there"):
        commands.is_done_after(job, ended)
    with pytest.raises(Refusal, match="was ended by signal 9: it said nothing"):
        commands.is_done_after(job, commands.call(["-c", "import os; os.kill(os.getpid(), 9)"]))
    assert commands.is_done_after(job, commands.call(["-c", "pass"]))
    assert not commands.is_done_after(
        job, commands.Ended(1, "Stopped and saved at 8 images; the same command continues.")
    )


def test_a_command_gets_sigterm_when_whoever_started_it_ends(tmp_path):
    """By the end of its standard input: SIGKILL of the starter leaves no time to say so."""
    child = (
        "import signal, time; from pathlib import Path; from genshift.studies import commands\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (Path({str(tmp_path / 'saved')!r}).touch(), exit()))\n"
        f"commands.end_with_parent(); Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(60)"
    )
    parent = [sys.executable, "-c", f"from genshift.studies import commands; commands.call(['-c', {child!r}])"]
    process = subprocess.Popen(parent)
    until((tmp_path / "begun").exists)
    process.kill()
    process.wait()
    until((tmp_path / "saved").exists)
