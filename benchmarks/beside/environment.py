"""The peers' own virtual environment: what is installed there, and of what cannot be installed why.

Imports nothing but the standard library: the command that makes the environment runs outside of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HARNESS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Peer:
    """A package as pip knows it, and what is imported of it."""

    name: str
    requirement: str
    modules: tuple[str, ...]
    arms: tuple[str, ...] = ()  # that need it; by default the one of its name

    def serves(self, arm: str) -> bool:
        """Whether an arm cannot do without it."""
        return arm.removesuffix("-bfloat16") in (self.arms or (self.name,))


# torch with torchvision comes first, both from one index, so that they go together: torchvision's C++ part is made for
# the default build of torch alone, and several peers import it.
BASE = "torch torchvision"
PEERS = (
    Peer("diffusers", "diffusers accelerate", ("diffusers", "accelerate")),
    Peer("denoising-diffusion-pytorch", "denoising-diffusion-pytorch", ("denoising_diffusion_pytorch",)),
    Peer("pytorch-adapt", "pytorch-adapt setuptools<81", ("pytorch_adapt.adapters", "pytorch_adapt.hooks")),
    Peer("skada", "skada[deep]", ("skada.deep",)),
    Peer("pythae", "pythae", ("pythae.models", "pythae.trainers")),
    Peer("torch-fidelity", "torch-fidelity", ("torch_fidelity.metric_kid",)),
    Peer("scikit-learn", "scikit-learn", ("sklearn.manifold",)),
)


def python_of(folder: Path) -> Path:
    """The environment's Python."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def prepare(folder: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Makes the environment, or goes on with it, and gives why a peer is not there, by its name.

    Raises SystemExit where genshift and PyTorch cannot be installed.
    """
    noted = folder / "peers.json"
    if not python_of(folder).exists():
        say(f"Making {folder} …")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if not noted.exists():
        for words in (BASE, f"-e {ROOT}"):
            say(f"Installing {words} …")
            if reason := _install(folder, words):
                raise SystemExit(f"{words} cannot be installed: {reason}.")
        noted.write_text("{}")
    absent: dict[str, str] = {}
    for peer in PEERS:
        absent |= _peer(folder, peer, noted, say)
    return absent


def _peer(folder: Path, peer: Peer, noted: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Installs a peer unless that was tried, and imports it; {} where it is there."""
    known = json.loads(noted.read_text())
    if peer.name not in known:
        say(f"Installing {peer.requirement} …")
        reason = _install(folder, peer.requirement) or import_error(python_of(folder), peer.modules)
        known[peer.name] = reason or ""
        noted.write_text(json.dumps(known, indent=1))
    return {peer.name: known[peer.name]} if known[peer.name] else {}


def _install(folder: Path, words: str) -> str | None:
    argv = [str(python_of(folder)), "-m", "pip", "install", "-q", "--disable-pip-version-check", *words.split()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else last_line(done.stderr)


def import_error(python: Path, modules: tuple[str, ...]) -> str | None:
    """Why one of them does not import, or None."""
    words = "; ".join(f"import {module}" for module in modules)
    done = subprocess.run([str(python), "-c", words], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else last_line(done.stderr)


def last_line(text: str) -> str:
    """The last line that says something, which of a traceback or of pip's words is the reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason was given").rstrip(".")


def versions(folder: Path) -> dict[str, str]:
    """The installed version of each peer and of torch."""
    names = ["torch", *(peer.name for peer in PEERS), "openTSNE"]
    words = (
        "import importlib.metadata as m, json, sys\n"
        "there = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: there.get(n.lower(), '') for n in sys.argv[1:]}))"
    )
    done = subprocess.run([str(python_of(folder)), "-c", words, *names], capture_output=True, text=True, check=True)
    return {name: version for name, version in json.loads(done.stdout).items() if version}
