"""A study on a Ray cluster of two nodes on the loopback address, one of which dies in the middle."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors.torch import load_file

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
pytest.importorskip("ray", reason="the extra 'cluster' is not installed")
pytest.importorskip("grpc", reason="Ray's client is not installed")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")

LOOPBACK = "127.0.0.1"
OF_A_NODE = {"num_cpus": 1, "node_ip_address": LOOPBACK, "object_store_memory": 80_000_000}
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
    """Two nodes of one core; the second is not the head's."""
    from ray.cluster_utils import Cluster

    head = {**OF_A_NODE, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes.add_node(**OF_A_NODE)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        nodes.shutdown()


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


def kill_node(cluster, node, out):
    """SIGKILL to all processes of a node, in the middle of a training there, which is returned."""
    raylet = next(process for process in node.live_processes() if process[0] == "raylet")[1]

    def in_training():
        rows = {run: out / run / "metrics.jsonl" for run in runs_below(raylet.pid)}
        return next((run for run, path in rows.items() if path.exists() and path.read_text().count("\n") > 3), None)

    victim = until(in_training)
    for pid in [*descendants(raylet.pid), raylet.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not (out / victim / "results.json").exists(), "the node died too late"
    cluster.remove_node(node, allow_graceful=False)
    return victim


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
    other = cluster.list_all_nodes()[1]
    study = start(eight, "--cluster", cluster.address, "--out", parted)
    victim = kill_node(cluster, other, parted)
    said, _ = study.communicate(timeout=1200)
    assert study.returncode == 0 and "2 nodes with 2 cores" in said and "Traceback" not in said, said
    assert (parted / victim / "results.json").exists()
    assert weights(parted) == weights(whole) and len(list(parted.glob("*/results.json"))) == 8
    page = (parted / "page.html").read_text(encoding="utf-8")
    assert "Left out" not in page and "Still to come" not in page
