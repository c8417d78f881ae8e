"""Looking at one set, and at two domains beside each other."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from data_files import write_mnist, write_usps
from PIL import Image

from genshift.cli import main
from genshift.data import ImageSet, check_domains, check_set, contact_sheet, dataset, describe, load
from genshift.data.catalog import entry
from genshift.errors import Refusal


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
    assert sheet.shape == (10 * 66 + 2, 4 * 66 + 2, 3)
    assert [int(sheet[34 + 66 * row, 34, 0]) for row in range(10)] == [10 + 20 * row for row in range(10)]
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
