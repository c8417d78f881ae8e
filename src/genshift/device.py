"""Which device, which arithmetic and why; what the environment is."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genshift.errors import Refusal


@dataclass(frozen=True)
class Arithmetic:
    """How a run computes. `reason` is the sentence shown to the user."""

    device: torch.device
    precision: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and inputs: float32 under bfloat16 autocast too."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def memory_format(self) -> torch.memory_format:
        """channels_last goes with bfloat16: it is what the fast kernels read."""
        return torch.channels_last if self.precision == "bfloat16" else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """The context in which networks run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA (each process that torchrun started its own GPU), then MPS, then the CPU.

    Raises Refusal for a device that is not here.
    """
    local_rank, many = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")) > 1
    if name == "auto":
        name = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() and not many else "cpu"
        )
    if name == "cuda" and not torch.cuda.is_available():
        raise Refusal("There is no CUDA device here: give --device cpu, or auto to let genshift choose.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise Refusal("There is no MPS device here: give --device cpu, or auto to let genshift choose.")
    if name == "mps" and many:
        raise Refusal("Several processes cannot share an MPS device: give --device cpu, or start one process.")
    if name == "cuda" and local_rank >= torch.cuda.device_count():
        raise Refusal(f"There are {torch.cuda.device_count()} GPUs for more processes: start one process a GPU.")
    return torch.device(name, local_rank) if name == "cuda" else torch.device(name)


# What multiplies bfloat16 in hardware, by Linux's name of the flag: training is 2.5 to 3 times as fast as in float32
# with the first (Intel Xeon), 1.7 to 2.4 times with the second (AMD EPYC of family 26; docs/speed.md).
BFLOAT16_UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16"}
CPUINFO = Path("/proc/cpuinfo")


def bfloat16_units() -> str:
    """What of the CPU multiplies bfloat16 in hardware; "" where nothing does, or where it cannot be told."""
    flags = set(CPUINFO.read_text(errors="replace").split()) if CPUINFO.exists() else set()
    return next((units for flag, units in BFLOAT16_UNITS.items() if flag in flags), "")


def choose_arithmetic(precision: str, device: torch.device) -> Arithmetic:
    """The arithmetic for `device`, in a precision or by "auto". The rule uses no timing, so it never wavers."""
    if precision != "auto":
        if precision == "float64" and device.type == "mps":
            raise Refusal("MPS has no float64: give --precision float32 or --device cpu.")
        return Arithmetic(device, precision, f"{precision}, as asked")
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Arithmetic(device, "bfloat16", "bfloat16 autocast and channels_last: this GPU has bfloat16 units")
    if device.type == "cpu" and (units := bfloat16_units()):
        return Arithmetic(device, "bfloat16", f"bfloat16 autocast and channels_last: this CPU has {units}")
    return Arithmetic(device, "float32", f"float32: this {device.type.upper()} has no bfloat16 units that are known")


def prepare_process(threads: int | None, device: torch.device) -> None:
    """Sets threads, keeps freed memory for the next step, and asks for deterministic kernels."""
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        _keep_freed_memory()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False  # float32 means float32; bfloat16 is there for speed


@contextmanager
def one_thread() -> Iterator[None]:
    """While open, PyTorch computes by one thread, so that no rounding depends on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep_freed_memory() -> None:
    """Tells glibc not to return large freed blocks to the system (8% of a DANN step was page faults)."""
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mmap_threshold, trim_threshold = -3, -1
    mallopt(mmap_threshold, 32 << 20)
    mallopt(trim_threshold, (1 << 31) - 1)


def leads_processes() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def several_processes() -> bool:
    """Whether torchrun started more than one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def conditions(arithmetic: Arithmetic) -> str:
    """On what something was timed: the machine, its threads and the precision."""
    return f"{machine(arithmetic.device)}, {torch.get_num_threads()} threads, {arithmetic.precision}"


def machine(device: torch.device) -> str:
    """The machine's class in words, e.g. "Intel(R) Xeon(R) Processor, 2 cores"; never its name or address."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = CPUINFO.read_text(errors="replace").splitlines() if CPUINFO.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def environment() -> dict[str, Any]:
    """Versions and hardware, as `genshift --version` prints and config.json keeps them."""
    import numpy

    import genshift

    return {
        "genshift": genshift.__version__,
        "source": _source_hash(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "device": machine(choose_device()),
        "bfloat16_units": bfloat16_units(),
        "threads": torch.get_num_threads(),
    }


def _source_hash() -> str:
    """SHA-256 (first 12 hex digits) of the package's own code: what produced a result, whatever its version says."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]
