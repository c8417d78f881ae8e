"""Looking at one set, and at two domains beside each other."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from data_files import noise, png, write_mnist, write_pictures, write_usps
from PIL import Image
from report_fixtures import patch_json
from tiny import refused

import genshift
from genshift import presets
from genshift.cli import main
from genshift.data import (
    ImageSet,
    check_domains,
    check_pictures,
    check_set,
    contact_sheet,
    dataset,
    describe,
    load,
    pack,
)
from genshift.data.catalog import entry
from genshift.data.check import CAPTION
from genshift.errors import Refusal
from genshift.report.model.grouping import conditions_of
from genshift.report.model.run_records import read_runs
from genshift.training.training_data import open_training_data, open_unseen


def test_describe():
    images = load("uci-m", "test")
    facts = describe(images)
    x = images.images.double() / 255
    assert facts["shape"] == [200, 3, 28, 28] and facts["dtype"] == "uint8"
    assert (facts["min"], facts["max"]) == (0, 255)
    assert facts["mean"] == pytest.approx(x.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert facts["std"] == pytest.approx(x.std((0, 2, 3), correction=0).tolist(), abs=1e-4)
    assert facts["labels"] == {str(digit): 20 for digit in range(10)}
    assert facts["fingerprint"] == images.fingerprint()
    assert describe(images.sealed())["labels"] is None
    assert check_set("uci-m", "test")[1] == facts


def test_the_files_of_a_catalog_set_are_held_against_the_published_checksums(tmp_path, monkeypatch, capfd):
    folder = write_usps(tmp_path)
    md5 = hashlib.md5((folder / "usps.bz2").read_bytes()).hexdigest()
    usps = entry("usps")
    published = usps.files[0].md5
    assert check_set("usps", "train", tmp_path)[1]["files"] == [f"usps.bz2: md5 {md5}, published {published}"]
    same = (replace(usps.files[0], md5=md5), usps.files[1])
    monkeypatch.setitem(dataset._sets, "usps", replace(usps, files=same))
    assert check_set("usps", "train", tmp_path)[1]["files"] == [f"usps.bz2: md5 {md5} as published"]
    assert "files" not in check_set("uci")[1]
    write_mnist(tmp_path, packed=False)
    words = [
        "data",
        "check",
        "mnist",
        "--split",
        "test",
        "--data-root",
        str(tmp_path),
        "--out",
        str(tmp_path / "a.png"),
    ]
    assert main.main(words) == 0
    printed = capfd.readouterr().out
    assert "unpacked; published for t10k-images-idx3-ubyte.gz: 9fb629c4189551a2d022fa330f9573f3" in printed
    assert "fingerprint" in printed and printed.count("file  ") == 2


def test_contact_sheet_shows_a_class_a_row(tmp_path):
    images = torch.arange(10, dtype=torch.uint8).repeat(5)[:, None, None, None].expand(-1, 1, 8, 8) * 20 + 10
    labelled = ImageSet("x", images.contiguous(), torch.arange(10).repeat(5), tuple("0123456789"))
    sheet = np.asarray(Image.open(contact_sheet(labelled, tmp_path / "a" / "sheet.png", columns=4)))
    assert sheet.shape == (10 * (66 + CAPTION) + 2, 4 * 66 + 2, 3)
    middles = [CAPTION + 34 + (66 + CAPTION) * row for row in range(10)]
    assert [int(sheet[middle, 34, 0]) for middle in middles] == [10 + 20 * row for row in range(10)]
    captions = [sheet[middle - 34 - CAPTION : middle - 34] for middle in middles]
    assert all((caption < 128).any() for caption in captions), "each class is named over its row"
    again = contact_sheet(labelled, tmp_path / "b.png", columns=4)
    assert again.read_bytes() == (tmp_path / "a" / "sheet.png").read_bytes()
    other = contact_sheet(load("uci-m", "test").sealed(), tmp_path / "c.png", rows=3)
    with Image.open(other) as sheet:
        assert sheet.size == (10 * 58 + 2, 3 * 58 + 2)
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refusal, match="Stopped while writing"):
        contact_sheet(labelled, tmp_path / "file" / "sheet.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b.png", "c.png", "file"]


def test_good_domains_pass_without_a_word():
    assert check_domains(load("uci", colour="rgb"), load("uci-m", labels=False)) == []


def changed(images, pixels):
    return replace(images, images=pixels)


def test_domains_of_different_kinds_are_refused():
    uci, ucim = load("uci"), load("uci-m", labels=False)
    with pytest.raises(Refusal, match=r"channels 1 and the target 'uci-m' 3.*--colour"):
        check_domains(uci, ucim)
    with pytest.raises(Refusal, match=r"height 32 and.*28.*--size"):
        check_domains(load("uci", size=32, colour="rgb"), ucim)
    good = load("uci", colour="rgb")
    for factor, words in ((255, "from 0 to 1: expected 0 to 255"), (16, "up to 255 and the target 'uci-m' up to 15")):
        dim = changed(ucim, ucim.images // factor)
        with pytest.raises(Refusal, match=words):
            check_domains(good, dim)
    with pytest.raises(Refusal, match="source 'uci-m' has pixels from 0 to 1"):
        check_domains(changed(ucim, ucim.images // 255), good)
    with pytest.raises(Refusal, match="shows nothing: 696 of 696"):
        check_domains(good, changed(ucim, torch.full_like(ucim.images, 200)))
    with pytest.raises(Refusal, match="without any image"):
        check_domains(good, changed(ucim, ucim.images[:0]))
    with pytest.raises(Refusal, match=r"torch\.float32.*expected uint8"):
        check_domains(good, changed(ucim, ucim.images / 255))


def test_unusual_domains_are_told():
    uci = load("uci", colour="rgb")
    assert "same pictures" in check_domains(uci, uci.sealed())[0]
    light = changed(uci, 255 - uci.images // 8)
    dark = changed(uci, uci.images // 4)
    assert "far darker" in check_domains(dark, light)[-1]


# --- the same look for every family -----------------------------------------------------------------------------------


def write_two(folder, draw, count=6):
    """Class folders a and b of what `draw` gives for a number."""
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(number)).save(path)
    return folder


def icon(number):
    """Something drawn in white on a transparent ground."""
    drawn = np.zeros((16, 16, 4), np.uint8)
    drawn[2 + number : 6 + number, 3:9] = 255
    drawn[..., :3] = 255
    return drawn


STRANGE = {
    "black": (lambda n: np.zeros((16, 16, 3), np.uint8), "nothing: 6 of 6 pictures looked at are of one colour, black"),
    "white": (lambda n: np.full((16, 16), 255, np.uint8), "are of one colour, white; expected pictures"),
    "icons": (icon, "one colour, white: what is drawn in white on a transparent ground shows with --background black"),
    "one": (lambda n: np.arange(256, dtype=np.uint8).reshape(16, 16), "one picture over and over: 6 of 6"),
    "0–1": (lambda n: noise(16, 16) % 2, "has pixels from 0 to 1: expected 0 to 255"),
    "0–1 beside": (lambda n: noise(16, 16) % 2 if n % 2 else noise(16, 16), "0 to 1 in 3 of 6 pictures looked at, up"),
    "12 bits": (lambda n: noise(16, 16, 1).astype(np.uint16) * 16, "have 16 bits and reach .*: give --depth 12"),
}  # fmt: skip
SMALL = ["digits-classifier", "--size", "16", "--width", "8", "--batch", "4", "--images", "8", "--precision", "float32"]
FAMILIES = (
    "digits-classifier",
    "faces-vae",
    "faces-gan",
    "digits-diffusion",
    "source",
    "of the target",
    "to the target",
)


def trained_on(family, folder, good):
    """A preset of the family that learns from these pictures; an adapting one has others beside."""
    pairs = {
        "source": ("dann", folder, good),
        "of the target": ("target", good, folder),
        "to the target": ("dann", good, folder),
    }
    if family in pairs:
        method, source, target = pairs[family]
        return presets.named(method, source=str(source), target=str(target))
    return presets.get(family).replaced(data=str(folder), size=16)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", STRANGE)
def test_every_family_refuses_pictures_that_cannot_be_meant(kind, family, tmp_path):
    draw, words = STRANGE[kind]
    good = write_two(tmp_path / "good", lambda number: noise(16, 16))
    preset = trained_on(family, write_two(tmp_path / "set", draw), good)
    with pytest.raises(Refusal, match=words):
        open_training_data(preset, None)
    if kind in ("icons", "12 bits"):  # and the flag that the sentence names answers it
        open_training_data(preset.replaced(background="black", depth=12), None)


@pytest.mark.parametrize("kind", STRANGE)
def test_data_check_says_it_too(kind, tmp_path, capfd):
    draw, words = STRANGE[kind]
    sheet = tmp_path / "sheet.png"
    said = refused(capfd, "data", "check", write_two(tmp_path / "set", draw), "--out", sheet)
    assert re.search(words, said)
    assert sheet.exists(), "what can be shown is shown all the same"


@pytest.mark.parametrize("part", ["test", "valid"])
def test_a_part_is_looked_at_before_it_is_measured_on(part, tmp_path):
    for split, images in {
        "train": load("uci-m"),
        part: changed(load("uci-m", "test"), load("uci-m", "test").images // 255),
    }.items():
        pack(images, tmp_path / split)
    preset = presets.get("digits-classifier").replaced(data=str(tmp_path), size=16)
    open_training_data(preset, None)
    with pytest.raises(Refusal, match="pixels from 0 to 1"):
        open_unseen(preset, None)


def notes_on(*pictures, labels=None, classes=()):
    return check_pictures(ImageSet("x", torch.from_numpy(np.stack(pictures)[:, None]), labels, classes))


def test_what_is_unusual_is_told():
    good = [noise(16, 16, 1) for _ in range(40)]
    assert notes_on(*good) == []
    blank = [np.full((16, 16), 7, np.uint8)] * 10
    classes = torch.tensor([0] * 40 + [1] * 10)
    assert notes_on(*good, *blank, labels=classes, classes=("a", "b"))[0].endswith(
        "10 of 50 pictures looked at are of one colour, so most of class b."
    )
    assert "no pixel is above 15 of 255" in notes_on(*(picture // 17 for picture in good))[0]
    assert "20 of 60 pictures looked at are copies" in notes_on(*good, *good[:20])[0]
    assert "1 of 41 pictures looked at have pixels from 0 to 1" in notes_on(*good, good[0] % 2)[0]


def test_the_sets_that_genshift_knows_pass_without_a_word():
    for name in ("uci", "uci-m"):
        assert check_pictures(load(name)) == [] and check_set(name)[1]["notes"] == []


def test_pictures_of_one_colour_each_are_told_where_the_colours_differ():
    swatches = torch.randint(0, 256, (9, 3, 1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert (
        "9 of 9 pictures looked at are of one colour" in check_pictures(ImageSet("x", swatches.expand(-1, -1, 8, 8)))[0]
    )


@pytest.mark.usefixtures("quick")
def test_a_run_reads_as_it_was_told_wherever_it_reads(tmp_path, capfd):
    """--fit, --background and --depth stand in config.json: a test split, predict, embed and a continued run follow."""
    for split in ("train", "test"):
        for number in range(8):
            path = tmp_path / "set" / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = noise(16, 30, 1).astype(np.uint16) * (16 if split == "train" else 8)
            Image.fromarray(values).save(path)
    flags = ["--fit", "pad", "--background", "grey", "--depth", 12]
    words = ["train", *SMALL, "--data", tmp_path / "set", "--out", tmp_path / "run"]
    assert main.main([str(word) for word in [*words, *flags]]) == 0
    assert "begun with --fit pad, not crop" in refused(capfd, *words)
    run = genshift.load(tmp_path / "run")
    assert (run.run.preset.fit, run.run.preset.background, run.run.preset.depth) == ("pad", "grey", 12)
    how = {"size": 16, "colour": run.run.preset.colour, "fit": "pad", "depth": 12}
    expected = load(tmp_path / "set", **how).images
    assert torch.equal(run.read(tmp_path / "set")[0].images, expected) and (expected[:, :, :2] == 0).all()
    files = sorted((tmp_path / "set" / "train").rglob("*.png"))
    assert torch.equal(run.read(files)[0].images, expected)
    assert not torch.equal(run.read(files, depth=16)[0].images, expected)
    assert "depth=16" not in str(run.run.config) and "test_accuracy" in genshift.run.Run(tmp_path / "run").results


@pytest.mark.usefixtures("quick")
def test_predict_and_embed_tell_what_is_unusual(tmp_path, capfd):
    good = write_two(tmp_path / "set", lambda number: noise(16, 16))
    words = ["train", *SMALL, "--data", good, "--out", tmp_path / "run", "--no-evaluate"]
    assert main.main([str(word) for word in words]) == 0
    masks = write_pictures(tmp_path / "masks", 0)
    for number in range(3):
        (masks / f"{number}.png").write_bytes(png(noise(16, 16) % 2))
    deep = tmp_path / "deep.png"
    Image.fromarray(noise(16, 16, 1).astype(np.uint16) * 16).save(deep)
    for verb, out in (("predict", "a.csv"), ("embed", "a.npz")):
        capfd.readouterr()
        assert main.main([verb, str(tmp_path / "run"), str(masks), "--out", str(tmp_path / out)]) == 0
        assert "note: 'masks' has pixels from 0 to 1" in capfd.readouterr().err
        assert main.main([verb, str(tmp_path / "run"), str(deep), "--out", str(tmp_path / out)]) == 0
        assert "if they hold 12 bits, give --depth 12" in capfd.readouterr().err
        assert main.main([verb, str(tmp_path / "run"), str(deep), "--out", str(tmp_path / out), "--depth", "12"]) == 0
        assert "note" not in capfd.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_run_from_before_these_options_is_read_as_it_was(tmp_path, capfd):
    """Runs of 0.2 took 16 bits as they are: they are evaluated, continued and grouped with new ones all the same."""
    for number in range(8):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 16, 1).astype(np.uint16) * 16).save(path)
    words = [
        "train",
        *SMALL,
        "--data",
        tmp_path / "set",
        "--validation",
        0.25,
        "--out",
        tmp_path / "run",
        "--depth",
        16,
    ]
    assert main.main([str(word) for word in words]) == 0
    before = conditions_of(read_runs([tmp_path / "run"])[0])

    def older(config):
        for name in ("fit", "background", "depth"):
            del config["preset"]["fields"][name]

    patch_json(tmp_path / "run" / "config.json", older)
    assert main.main(["evaluate", str(tmp_path / "run")]) == 0
    assert main.main([str(word) for word in words]) == 0
    after = conditions_of(read_runs([tmp_path / "run"])[0])
    assert before == after | {"depth": "depth 16"} and "fit" not in before
    assert genshift.load(tmp_path / "run").run.preset.depth == 16
