"""Files of a run: whole or absent, readable or refused in a sentence, on a full disk and a read-only one."""

import errno
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import tiny
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

import genshift
from genshift import temporary
from genshift.errors import Refusal, of_os_error
from genshift.evaluation.options import EvaluationOptions
from genshift.runs import checkpoint, files
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.temporary import temporary_name
from genshift.training.train import Settings


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
    with pytest.raises(Refusal, match="is not what genshift writes"):
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


# --- what killed processes left -------------------------------------------------------------------------------------


def test_the_next_writing_of_a_file_removes_what_a_killed_process_left_of_it(tmp_path):
    """And of that file alone: a folder may be anybody's."""
    path, other = tmp_path / "labels[1].csv", tmp_path / "labels.csv"
    for left in (path, other):
        tiny.litter(left).write_text("half")
    files.write_text(path, "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, tiny.litter(other).name])


def test_what_is_still_written_is_no_litter(tmp_path):
    """What a process that lives writes, and what may be of another machine's, or of 0.2's, until it is long silent."""
    ours, dead = temporary_name(tmp_path / "a", "part"), tiny.litter(tmp_path / "b")
    elsewhere, older = tmp_path / ".c.00000000-999999999.part", tmp_path / ".d.999999999.part"
    users = [tmp_path / name for name in (".notes.2019.old", "e.part", ".usps.bz2.part", ".x.-1.part")]
    for path in (ours, dead, elsewhere, older, *users):
        path.write_text("half")
    long_ago = time.time() - 2 * temporary.SILENT
    for path in (ours, *users):
        os.utime(path, (long_ago, long_ago))
    temporary.remove_litter(tmp_path)
    assert not dead.exists() and all(path.exists() for path in (ours, elsewhere, older, *users))
    for path in (elsewhere, older):
        os.utime(path, (long_ago, long_ago))
    temporary.remove_litter(tmp_path)
    assert not elsewhere.exists() and not older.exists() and all(path.exists() for path in (ours, *users))


@tiny.POSIX
def test_another_users_process_lives_too(tmp_path, monkeypatch):
    def denied(process, number):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    left = tiny.litter(tmp_path / "a")
    left.write_text("half")
    monkeypatch.setattr(os, "kill", denied)
    temporary.remove_litter(tmp_path)
    assert left.exists()


@pytest.mark.usefixtures("quick")
def test_whoever_owns_a_run_removes_its_litter(domains, tmp_path, capfd):
    """The same training command of a finished run, `evaluate`, `select` and `clean`."""
    run = tmp_path / "run"
    flags = ["--source", domains[0], "--target", domains[1], "--images", 32, "--batch-source", 4, "--batch-target", 4]
    train = ["train", "dann-mnistm-svhn", *flags, "--width", 8, "--validation", 0.25, "--no-evaluate", "--out", run]
    tiny.told(capfd, *train)
    for words in (train, ["evaluate", run], ["select", run], ["clean", run]):
        for folder in ("samples", "checkpoints", "."):
            (run / folder).mkdir(exist_ok=True)
            tiny.litter(run / folder / "a.safetensors").write_text("half")
        tiny.told(capfd, *words)
        assert not list(run.rglob(".*.part")), words[0]


# --- modes, and who may read ----------------------------------------------------------------------------------------


@tiny.POSIX
@pytest.mark.usefixtures("quick")
def test_every_file_of_a_run_has_the_mode_that_the_umask_says(domains, tmp_path):
    """Checkpoints, which safetensors makes for their owner alone, too."""
    before = os.umask(0o027)
    try:
        preset = tiny.tiny("dann-mnistm-svhn", domains, width=8)
        assert tiny.train_and_evaluate(preset.replaced(images=16), tmp_path / "run", Settings(), EvaluationOptions())
        files.write_whole(tmp_path / "run" / "private", lambda path: (path.touch(), path.chmod(0o600)))
    finally:
        os.umask(before)
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".safetensors", ".json", ".jsonl", ".md"}
    assert {oct(path.stat().st_mode & 0o777) for path in written} == {"0o640"}


@tiny.POSIX
@pytest.mark.parametrize("read", [checkpoint.load, checkpoint.about])
def test_permission_absence_and_damage_are_three_sentences(read, tmp_path, monkeypatch):
    """None says to delete: to another user a whole file is one that may not be read."""
    whole, cut_short, newer = (tmp_path / name for name in ("whole", "cut", "newer"))
    checkpoint.save(whole, Checkpoint({"a": torch.zeros(1000)}, {}))
    cut_short.write_bytes(whole.read_bytes()[:-8])
    newer.write_bytes(whole.read_bytes().replace(b'"F32"', b'"Q32"'))
    said = {}
    for path in (whole, cut_short, newer, tmp_path / "absent", tmp_path):
        with monkeypatch.context() as other_user:
            if path == whole:
                other_user.setattr(Path, "open", refuse_to_open)
            with pytest.raises(Refusal) as caught:
                read(path)
        said[path.name] = str(caught.value)
    assert "may not be read by this user: ask its owner" in said["whole"]
    assert "cut short, damaged or no safetensors file" in said["cut"] and "move it out of the folder" in said["cut"]
    assert "move it out of the folder" in said["newer"] and "There is no checkpoint" in said["absent"]
    assert not any("delete" in sentence or "\n" in sentence for sentence in said.values())


def refuse_to_open(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_nothing_advises_to_delete_what_may_be_whole():
    """No sentence of the package does; what can't be read here may be whole for another user or a newer version."""
    source = Path(genshift.__file__).parent
    advice = re.compile(r"[Dd]elete it|[;,:] remove it|or remove it")
    assert [path.name for path in source.rglob("*.py") if advice.search(path.read_text("utf-8"))] == []


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
        with pytest.raises(Refusal, match="cut short, damaged or no safetensors file"):
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
    with pytest.raises(Refusal, match="cut short, damaged or no safetensors file"):
        checkpoint.load(tmp_path / "a.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (nn.Linear(3, 2), r"weight is float32 \[2, 3\] there and should be float32 \[2, 4\]"),
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
    run.append("a.jsonl", {"images": 1, "alarms": [name]})
    assert run.rows("a.jsonl") == [{"images": 1, "alarms": [name]}]
    files.write_text(tmp_path / "a.csv", files.csv_text(["image_name"], [[name], ["ä"]], ".6f"))
    assert (tmp_path / "a.csv").read_text("utf-8") == "image_name\ncaf\\udce9\nä\n"


def test_a_refusal_is_one_line():
    assert str(Refusal("a\nb\x1b[0m\x9b\u2028 é\u3000")) == "a\\nb\\x1b[0m\\x9b\\u2028 é\u3000"
