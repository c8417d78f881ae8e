"""`genshift data check` of any folder: what is there, what is left out and why, all that is broken, a contact sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from data_files import noise, png
from PIL import Image
from tiny import refused

from genshift.cli import main
from genshift.data.survey import typical_side


def drawn(path: Path, width: int, height: int, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width)).convert(mode).save(path)
    return path


def checked(capfd, *words: object) -> str:
    assert main.main(["data", "check", *map(str, words)]) == 0
    return capfd.readouterr().out


def test_a_folder_of_many_sizes_kinds_and_parts_is_told(tmp_path, capfd):
    folder = tmp_path / "pets"
    for number, (part, label) in enumerate((p, c) for p in ("train", "val") for c in ("cat", "dog")):
        drawn(folder / part / label / "a.jpg", 90, 60)
        drawn(folder / part / label / "b.png", 40 + number, 20, "L")
        drawn(folder / part / label / "c.png", 90, 60, "RGBA")
    (folder / "train" / "notes.txt").write_text("x")
    same = (folder / "train" / "cat" / "a.jpg").read_bytes()
    (folder / "train" / "dog" / "d.jpg").write_bytes(same)
    (folder / "val" / "cat" / "d.jpg").write_bytes(same)
    said = checked(capfd, folder, "--sheet", tmp_path / "sheet.png")
    for line in (
        "pictures     14: 8 PNG, 6 JPEG",
        "colours      6 colour, 8 bits; 4 grey, 8 bits; 4 colour, 8 bits, alpha",
        "sizes        5 different, 40×20 the smallest, 90×60 the largest, 90×60 the commonest (10)",
        "part train   7 pictures, 2 classes: cat 3, dog 4",
        "part valid   7 pictures, 2 classes: cat 4, dog 3",
        "note         pets: not read: 1 of .txt.",
        "note         2 pictures are copies of others, byte for byte.",
        "note         1 pictures stand under two labels: one of them is wrong.",
        "note         1 pictures are in two parts: what is trained on is not measured on.",
    ):
        assert line in said.splitlines(), line
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == 4 * (64 + 2 + 16) + 2, "a row for each class of each part"
    told = json.loads(checked(capfd, folder, "--out", tmp_path / "sheet.png", "--json"))
    assert told["sizes"]["different"] == 5 and told["parts"]["valid"]["labels"] == {"cat": 4, "dog": 3}
    assert told["sheet"] == str(tmp_path / "sheet.png") and told["broken"] == {}
    assert list(
        json.loads(checked(capfd, folder, "--split", "val", "--out", tmp_path / "v.png", "--json"))["parts"]
    ) == ["val"]


def test_all_broken_files_are_named_at_once(tmp_path, capfd):
    folder = tmp_path / "set"
    for number in range(4):
        drawn(folder / f"{number}.png", 32, 32)
    (folder / "4.png").write_text("text")
    (folder / "5.png").write_bytes(png(noise())[:300])
    (folder / "6.jpg").write_bytes(b"")
    assert main.main(["data", "check", str(folder), "--out", str(tmp_path / "sheet.png")]) == 2
    printed = capfd.readouterr()
    broken = [line.split()[1] for line in printed.out.splitlines() if line.startswith("broken")]
    assert broken == ["4.png:", "5.png:", "6.jpg:"] and (tmp_path / "sheet.png").exists()
    assert "3 of 7 pictures in" in printed.err and "--skip-broken" in printed.err and printed.err.count("\n") == 1
    said = checked(capfd, folder, "--out", tmp_path / "sheet.png", "--skip-broken")
    assert "holds        4 pictures, no labels" in said and said.count("broken  ") == 3
    assert said.splitlines()[-1].startswith("sheet") or "--target" in said


def test_a_folder_of_nothing_but_broken_files_is_told_too(tmp_path, capfd):
    (tmp_path / "set").mkdir()
    for number in range(2):
        (tmp_path / "set" / f"{number}.png").write_text("text")
    said = refused(capfd, "data", "check", tmp_path / "set", "--out", tmp_path / "sheet.png", last_line=True)
    assert "2 of 2 pictures" in said and not (tmp_path / "sheet.png").exists()


def test_unlabelled_loose_and_turned_pictures_are_no_error(tmp_path, capfd):
    folder = tmp_path / "photos"
    drawn(folder / "a.png", 32, 32)
    drawn(folder / "in" / "b.png", 32, 32)
    drawn(folder / "in" / "c.png", 32, 32)
    (folder / "list.csv").write_text("id,camera\n1,x\n")
    said = checked(capfd, folder, "--out", tmp_path / "sheet.png")
    assert "holds        3 pictures, no labels" in said
    # A photo taken upright: its file lies on its side.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(20, 40)).save(folder / "d.jpg", exif=exif)
    assert "20×40" in checked(capfd, folder, "--out", tmp_path / "sheet.png")


def test_folders_that_may_be_parts_or_classes_are_told_and_refused(tmp_path, capfd):
    for name in ("train", "test", "extra"):
        drawn(tmp_path / "set" / name / "a.png", 32, 32)
    assert main.main(["data", "check", str(tmp_path / "set"), "--out", str(tmp_path / "sheet.png")]) == 2
    printed = capfd.readouterr()
    assert "pictures     3: 3 PNG" in printed.out and "named as parts of a set are" in printed.err


@pytest.mark.parametrize("mode", ["I;16", "L", "1", "P", "CMYK"])
def test_depth_and_colour_are_told(mode, tmp_path, capfd):
    (tmp_path / "set").mkdir()
    for number in range(2):
        pixels = noise(32, 32)
        deep = np.arange(1024, dtype=np.uint16).reshape(32, 32)[:: 1 - 2 * number] * 60
        picture = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
        picture.save(tmp_path / "set" / f"{number}.{'tif' if mode == 'CMYK' else 'png'}")
    words = {
        "I;16": "grey, 16 bits",
        "L": "grey, 8 bits",
        "1": "black and white",
        "P": "palette, 8 bits",
        "CMYK": "CMYK, 8 bits",
    }
    assert f"colours      2 {words[mode]}" in checked(capfd, tmp_path / "set", "--out", tmp_path / "sheet.png")


def test_the_typical_side_is_the_median_of_the_shorter_ones(tmp_path):
    for number, (width, height) in enumerate(((90, 70), (40, 300), (120, 100))):
        drawn(tmp_path / "some" / f"{number}.png", width, height)
    (tmp_path / "some" / "broken.png").write_bytes(b"no picture")
    assert typical_side(tmp_path / "some") == 70
    assert typical_side("mnist") is None and typical_side(tmp_path / "none") is None
