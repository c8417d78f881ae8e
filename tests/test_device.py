"""Which device and arithmetic are chosen, and why."""

import pytest
import torch

from genshift import device
from genshift.errors import Refusal
from genshift.runs.trained_run import _laid_out

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(Refusal, match=f"There is no {name.upper()} device here: give --device cpu"):
        device.choose_device(name)
    assert device.choose_device("auto") == CPU


def test_the_first_of_cuda_mps_and_cpu_is_taken(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device.choose_device("auto") == torch.device("cuda", 0)
    assert device.choose_device("cpu") == CPU


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device.choose_device("auto") == torch.device("cuda", 3)
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(Refusal, match="4 GPUs for more processes"):
        device.choose_device("auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_device("auto") == CPU, "several processes cannot share MPS"
    with pytest.raises(Refusal, match="cannot share an MPS device"):
        device.choose_device("mps")


@pytest.mark.parametrize(
    ("flags", "units"),
    [
        ("fpu avx512f avx512_bf16 amx_bf16 amx_tile", "AMX"),  # Intel's Sapphire Rapids and later
        ("fpu avx512f avx512_bf16 avx512_vnni", "AVX-512 BF16"),  # AMD's Zen 4 and 5
        ("fpu avx2 avx512f", ""),
        (None, ""),  # no Linux
    ],
)
def test_bfloat16_is_chosen_where_it_pays_and_the_reason_is_said(flags, units, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "CPUINFO", tmp_path / "cpuinfo")
    if flags is not None:
        device.CPUINFO.write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\n")
    assert device.bfloat16_units() == device.environment()["bfloat16_units"] == units
    chosen = device.choose_arithmetic("auto", CPU)
    precision = "bfloat16" if units else "float32"
    assert chosen.precision == precision and precision in chosen.reason and units in chosen.reason
    assert (chosen.memory_format == torch.channels_last) is bool(units)
    assert chosen.dtype == torch.float32
    with chosen.autocast():
        assert torch.is_autocast_enabled("cpu") is bool(units)


def test_arithmetic_that_was_asked_for_is_taken():
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.float32), ("float64", torch.float64)):
        chosen = device.choose_arithmetic(name, CPU)
        assert (chosen.precision, chosen.dtype, chosen.reason) == (name, dtype, f"{name}, as asked")
    with pytest.raises(Refusal, match="MPS has no float64"):
        device.choose_arithmetic("float64", MPS)


def test_threads_are_set_as_asked():
    before = torch.get_num_threads()
    try:
        device.prepare_process(before + 1, CPU)
        assert torch.get_num_threads() == before + 1
        device.prepare_process(None, CPU)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_the_environment_names_no_machine_or_user():
    import getpass
    import platform

    described = device.environment()
    assert {"genshift", "python", "torch", "platform", "device", "threads"} <= described.keys()
    text = str(described)
    assert platform.node() not in text or platform.node() in ("localhost", "linux")
    assert getpass.getuser() not in text.split()


@pytest.mark.parametrize("shape", [(3, 64, 1, 1), (8, 1, 3, 3), (8, 4, 3, 3)])
def test_kernels_have_the_strides_of_their_gradients(shape):
    """DistributedDataParallel compares them, and copies and warns where they differ."""
    kernel = torch.nn.Parameter(_laid_out(torch.randn(shape), torch.channels_last))
    x = torch.randn(2, shape[1], 5, 5).contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(torch.nn.functional.conv2d(x, kernel, padding=shape[-1] // 2).sum(), kernel)
    assert kernel.stride() == gradient.stride()
