"""Files of a run: whole or absent, readable or refused in a sentence, on a full disk and a read-only one."""

import errno
import json
import os
import subprocess

import pytest
import tiny
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from genshift.errors import Refusal, of_os_error
from genshift.runs import checkpoint, files
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


# --- whole or absent ------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "a.json"
    files.write_json(path, {"λ": 1})
    files.write_json(path, {"λ": 2})
    assert files.read_json(path, "") == {"λ": 2}
    assert os.listdir(path.parent) == ["a.json"]


def test_a_file_is_synced_as_windows_allows(tmp_path, monkeypatch):
    """There a folder cannot be opened, and what is synced must be open for writing."""
    opened = os.open

    def open_there(path, flags, *more, **others):
        if os.path.isdir(path) or not flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, *more, **others)

    monkeypatch.setattr(files.os, "open", open_there)
    monkeypatch.setattr(files.sys, "platform", "win32")
    files.write_json(tmp_path / "a.json", {"λ": 1})
    assert files.read_json(tmp_path / "a.json", "") == {"λ": 1}


def test_a_writer_that_fails_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def half(temporary):
        temporary.write_text("ne")
        no_room()

    with pytest.raises(Refusal, match=r"^Stopped while writing .*a\.txt: the disk is full; free some room"):
        files.write_whole(path, half)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_number_that_json_has_not_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("text", ["{", "", '{"a": 1', "\x00\x01"])
def test_broken_json_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Refusal, match="is not readable JSON"):
        _ = RunFolder(tmp_path).config


@pytest.mark.parametrize("value", [[], 3, {}, {"preset": {}, "seed": 0}])
def test_json_that_is_no_config_is_refused(value, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(Refusal, match="is no genshift configuration"):
        _ = RunFolder(tmp_path).config


def test_metrics_broken_in_the_middle_are_refused(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"images": 1}\n{"ima\n{"images": 3}\n')
    with pytest.raises(Refusal, match=r"Line 2 of .*metrics\.jsonl"):
        RunFolder(tmp_path).rows()


def test_a_folder_with_other_files_is_not_taken_for_a_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(Refusal, match="holds other files and no run"):
        RunFolder(tmp_path).create()


def test_checkpoints_without_a_config_are_not_taken_for_a_new_run(tmp_path):
    RunFolder(tmp_path).save(Checkpoint({"a": torch.zeros(1)}, {"images": 4}), keep=1)
    with pytest.raises(Refusal, match="holds other files and no run"):
        RunFolder(tmp_path).create()


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_to_the_bit(tmp_path):
    tensors = {
        "bfloat16": torch.randn(3, 4).bfloat16(),
        "float64": torch.tensor([float("inf"), -0.0, 1e-300], dtype=torch.float64),
        "strided": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
    }
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, Checkpoint(tensors, {"images": 4, "best": None}))
    back = checkpoint.load(path)
    assert back.about == checkpoint.about(path) == {"images": 4, "best": None}
    assert tiny.different(tensors, back.tensors) == []
    assert all(back.tensors[name].dtype == tensor.dtype for name, tensor in tensors.items())


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(share, tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, Checkpoint({"a": torch.zeros(1000)}, {}))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    for read in (checkpoint.load, checkpoint.about):
        with pytest.raises(Refusal, match="truncated or no safetensors file"):
            read(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(Refusal, match="not a genshift checkpoint"):
        checkpoint.load(tmp_path / "a.safetensors")


def test_a_pickle_is_never_opened(tmp_path):
    """What would run code on loading is refused as no safetensors file."""

    class Bomb:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    torch.save(Bomb(), tmp_path / "a.safetensors")
    with pytest.raises(Refusal, match="truncated or no safetensors file"):
        checkpoint.load(tmp_path / "a.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (nn.Linear(3, 2), r"weight is \[2, 3\] there and should be \[2, 4\]"),
        (nn.Linear(4, 2, bias=False), r"bias is absent there"),
        (nn.Sequential(nn.Linear(4, 2)), "should be"),
    ],
    ids=["size", "missing", "names"],
)
def test_another_networks_weights_are_refused(other, says, tmp_path):
    net = nn.Linear(4, 2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(Refusal, match=says):
        checkpoint.unpack_networks(checkpoint.pack_networks({"net": other}), {"net": net}, tmp_path)
    assert tiny.different(before, net.state_dict()) == []


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_continues_as_if_nothing_had_happened(kind):
    """On weights in channels_last too, where a fused kernel would mix moments up."""
    options = {"momentum": 0.9} if kind is torch.optim.SGD else {}

    def fresh():
        torch.manual_seed(0)
        weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)
        parameters = [nn.Parameter(weight), nn.Parameter(torch.randn(4))]
        return parameters, kind(parameters, lr=0.1, fused=True, **options)

    def steps(parameters, optimizer, numbers):
        for number in numbers:
            torch.manual_seed(number)
            for p in parameters:
                p.grad = torch.empty_like(p).copy_(torch.randn(p.shape))
            optimizer.step()

    whole, through = fresh(), fresh()
    steps(*whole, range(4))
    steps(*through, range(2))
    saved = {k: v.contiguous() for k, v in checkpoint.pack_optimizer("all", through[1]).items()}
    _, continued = through[0], kind(through[0], lr=0.1, fused=True, **options)
    checkpoint.unpack_optimizer("all", continued, saved)
    steps(through[0], continued, range(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(whole[0], through[0], strict=True))


# --- full and read-only disks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["replace", "save_file", "safetensors"])
@pytest.mark.usefixtures("quick")
def test_a_disk_that_fills_up_is_refused_and_what_was_saved_stays(where, domains, tmp_path, monkeypatch):
    preset, whole, run = tiny.tiny("hw3-source-usps-mnistm", domains), tmp_path / "whole", tmp_path / "run"
    tiny.train(preset, whole)
    tiny.train(preset, run, observers=[tiny.StopAt(12)])
    before = {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    with monkeypatch.context() as full:
        if where == "replace":
            replace = os.replace
            full.setattr(os, "replace", lambda a, b: no_room() if "safetensors" in str(b) else replace(a, b))
        elif where == "save_file":
            full.setattr(checkpoint, "save_file", no_room)
        else:
            full.setattr(checkpoint, "save_file", refuse_as_safetensors)
        with pytest.raises(Refusal, match="the disk is full; free some room and run the same command again"):
            tiny.train(preset, run)
    assert {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()} == before
    assert tiny.train(preset, run) is True
    assert tiny.different(tiny.last(whole), tiny.last(run)) == []


def refuse_as_safetensors(*_, **__):
    raise SafetensorError("Error while serializing: IoError(Os { code: 28, kind: StorageFull })")


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system in memory of so many MiB; skips where that is not allowed."""
    mounted = []

    def mount(mib, *options):
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={mib}m", *options)), "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("a file system can be mounted by root alone")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("mib", [1, 30])
def test_a_really_full_disk(mib, small_disk, domains):
    """1 MiB: not even the first checkpoint fits; 30: the best does, the numbered one does not."""
    disk = small_disk(mib)
    flags = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--images", 24]
    flags += ["--precision", "float32"]
    said = tiny.refused_in_process("train", "hw3-source-usps-mnistm", *flags, "--out", disk / "run", last_line=True)
    assert "the disk is full; free some room and run the same command again" in said
    assert not list(disk.rglob("*.part"))
    assert not list(disk.rglob("images-*"))


def test_a_read_only_folder_is_refused(small_disk, domains):
    disk = small_disk(1)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    flags = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--images", 24]
    said = tiny.refused_in_process("train", "demo-source", *flags, "--out", disk / "run")
    assert "the file system is read-only; name another folder" in said


@pytest.mark.parametrize(("doing", "says"), [("reading a", "ask its owner"), ("writing a", "that you may write to")])
def test_permission_to_read_is_not_permission_to_write(doing, says):
    assert says in str(of_os_error(PermissionError(errno.EACCES, "Permission denied"), doing))


def test_names_that_are_no_utf_8_can_be_read_back(tmp_path):
    """As they are from JSON, and in text by their bytes."""
    name = os.fsdecode(b"caf\xe9") if os.name == "posix" else "caf\udce9"
    files.write_json(tmp_path / "a.json", {name: 1})
    assert files.read_json(tmp_path / "a.json", "") == {name: 1}
    run = RunFolder(tmp_path)
    run.append("a.jsonl", {"name": name})
    assert run.rows("a.jsonl") == [{"name": name}]
    files.write_text(tmp_path / "a.csv", files.csv_text(["image_name"], [[name], ["ä"]], ".6f"))
    assert (tmp_path / "a.csv").read_text("utf-8") == "image_name\ncaf\\udce9\nä\n"


def test_a_refusal_is_one_line():
    assert str(Refusal("a\nb\x1b[0m\x9b\u2028 é\u3000")) == "a\\nb\\x1b[0m\\x9b\\u2028 é\u3000"
