"""Two processes share a batch, and one of them is killed: the other ends with a sentence, and the command continues."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
WORDS = ("demo-dann", "--batch-source", 8, "--batch-target", 8, "--images", 1_600, "--threads", 1, "--no-evaluate")


def start(out):
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "genshift", "train")
    argv = [sys.executable, *launch, *map(str, WORDS), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def worker_of(launcher, rank):
    """The process of that rank, of those that torchrun started."""
    for children in Path(f"/proc/{launcher.pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            with contextlib.suppress(OSError):
                if f"RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
                    return child
    raise AssertionError(f"no process of rank {rank}")


def weights(out):
    return {
        key: value.numpy().tobytes() for key, value in load_file(sorted(out.glob("checkpoints/images-*"))[-1]).items()
    }


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_that_is_killed_ends_the_other_and_the_command_continues(rank, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    undisturbed = start(whole)
    assert undisturbed.communicate(timeout=1200) and undisturbed.returncode == 0
    killed = start(parted)
    rows = parted / "metrics.jsonl"
    while not rows.exists() or rows.read_text().count("\n") < 20:
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(worker_of(killed, rank), signal.SIGKILL)
    said, _ = killed.communicate(timeout=1200)
    sentence = f"genshift: Process {1 - rank} of 2 ends, for another one that shares its batch has ended"
    assert killed.returncode and sentence in said, said
    again = start(parted)
    assert "Continuing from" in again.communicate(timeout=1200)[0] and again.returncode == 0
    assert weights(parted) == weights(whole)
