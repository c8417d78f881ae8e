"""A study on a Ray cluster of two nodes on the loopback address, one of which dies in the middle."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors.torch import load_file

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
pytest.importorskip("ray", reason="the extra 'cluster' is not installed")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")

LOOPBACK = "127.0.0.1"
NODE = ("--node-ip-address", LOOPBACK, "--num-cpus", "1", "--object-store-memory", "80000000", "--block")
QUIET = ("--disable-usage-stats", "--include-dashboard=false")
EIGHT = """
name = "eight"
methods = ["source", "mcc"]
tasks = [["uci", "uci-m"]]
images = 960
seeds = 4
options = { width = 8, size = 16 }
"""


@pytest.fixture
def cluster():
    """The address of a cluster of two nodes of one core, and their processes, the head's first."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    address = f"{LOOPBACK}:{port}"
    nodes = []
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path: Ray's sockets lie in it
        try:
            nodes.append(start_node(folder, "--head", "--port", str(port), "--temp-dir", folder, *QUIET))
            nodes.append(start_node(folder, "--address", address))
            yield address, nodes
        finally:
            for node in nodes:
                kill_all(node)


def start_node(folder, *words):
    log = Path(folder) / f"{words[0]}.log"
    argv = [str(Path(sys.executable).with_name("ray")), "start", *words, *NODE]
    with log.open("w") as out:
        node = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT)
    until(lambda: "Ray runtime started" in log.read_text(), 300)
    return node


def kill_all(node):
    """SIGKILL to every process of a node, as where its machine dies."""
    for pid in [*descendants(node.pid), node.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.wait()


@pytest.fixture
def eight(tmp_path):
    file = tmp_path / "eight.toml"
    file.write_text(EIGHT)
    return file


def start(*words):
    argv = [sys.executable, "-m", "genshift", "study", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def descendants(pid):
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


def runs_below(pid):
    """The folders of the runs that the processes below `pid` make now."""
    named = []
    for child in descendants(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            named += [after for word, after in pairwise(words) if word == "--one"]
    return named


def until(happens, seconds=900.0):
    end = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


def in_training_on(node, out):
    """A run that a node is in the middle of."""
    rows = {run: out / run / "metrics.jsonl" for run in runs_below(node.pid)}
    return next((run for run, path in rows.items() if path.exists() and path.read_text().count("\n") > 3), None)


def weights(out):
    """Every tensor of every checkpoint, by run."""
    paths = sorted(out.glob("*/checkpoints/*.safetensors"))
    return {
        f"{path.relative_to(out)} {name}": value.numpy().tobytes()
        for path in paths
        for name, value in load_file(path).items()
    }


def test_a_study_whose_node_dies_ends_as_an_undisturbed_one(cluster, eight, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    alone = start(eight, "--threads", 1, "--jobs", 2, "--out", whole)
    assert alone.communicate(timeout=1200) and alone.returncode == 0
    address, (_, other) = cluster
    study = start(eight, "--cluster", address, "--out", parted)
    victim = until(lambda: in_training_on(other, parted))
    kill_all(other)
    assert not (parted / victim / "results.json").exists(), "the node died too late"
    said, _ = study.communicate(timeout=1200)
    assert study.returncode == 0 and "2 nodes with 2 cores" in said and "Traceback" not in said, said
    assert (parted / victim / "results.json").exists()
    assert weights(parted) == weights(whole) and len(list(parted.glob("*/results.json"))) == 8
    page = (parted / "page.html").read_text(encoding="utf-8")
    assert "Left out" not in page and "Still to come" not in page
