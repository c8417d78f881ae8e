"""The page of `genshift label`, used in a real browser by keyboard alone, and what `evaluate --labels` makes of it."""

import csv
import io
import json

import browser
import pytest
import tiny
import torch
from data_files import png
from tiny import told

from genshift.evaluation.labelling_page import ShownPicture, keys_of, write_labelling_page

pytestmark = pytest.mark.usefixtures("quick")
# Classes and files that a page, a CSV or a script element could stumble over.
CLASSES = (
    "</script><script>alert(1)</script>",
    "a, b",
    'say "no"',
    "-",
    "<!-- -->",
    "ü & é",
    "=1+1",
    "7",
    "x\\y",
    "10",
)
ODD = ("<b>.png", "a,b.png", 'q"q.png', "=1+1.png", " space.png", "ü.png", "#%20?.png", "<script>.png", "new\nline.png")


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as opened:
        yield opened


def odd_domains(folder):
    """Two folders: 40 labelled pictures of `CLASSES`, and 80 unlabelled ones under odd names, with their classes."""
    source, target = folder / "source", folder / "target"
    source.mkdir()
    target.mkdir()
    lines = [["image_name", "label"]]
    for number, (image, label) in enumerate(zip(*_drawn(40, 0), strict=True)):
        (source / f"{number}.png").write_bytes(png(image.permute(1, 2, 0).numpy()))
        lines.append([f"{number}.png", CLASSES[label]])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    (source / "labels.csv").write_text(text.getvalue(), encoding="utf-8")
    truth = {}
    for number, (image, label) in enumerate(zip(*_drawn(80, 1), strict=True)):
        name = ODD[number] if number < len(ODD) else f"{number}.png"
        (target / name).write_bytes(png(image.permute(1, 2, 0).numpy()))
        truth[name] = CLASSES[label]
    return source, target, truth


def _drawn(count, seed):
    drawn = tiny.digits(count, seed)
    assert drawn.labels is not None
    return drawn.images, drawn.labels.tolist()


def test_fifty_pictures_are_labelled_by_keyboard_saved_and_evaluated(chromium, tmp_path, capfd):
    source, target, truth = odd_domains(tmp_path)
    run, sizes = tmp_path / "run", ["--batch-source", 4, "--batch-target", 4, "--precision", "float32"]
    told(capfd, "train", "demo-dann", "--source", source, "--target", target, *sizes, "--images", 40, "--out", run)
    said = told(capfd, "label", run, "--count", 50)
    page = run / "labels" / "label-1-50.html"
    assert f"{page}: pictures 1 to 50" in said
    keys = dict(zip(json.loads((run / "config.json").read_text())["classes"], keys_of(CLASSES), strict=True))
    with browser.opened(chromium, page) as seen:
        text = seen.page.locator("#name").text_content
        for number in range(50):
            assert seen.page.locator("#progress").text_content().startswith(f"Picture {number + 1} of 50")
            assert seen.page.locator("#picture").evaluate("picture => picture.naturalWidth") == 28
            seen.page.keyboard.press({7: "Space", 9: "-"}.get(number) or keys[truth[text()]])
            if number == 20:  # a slip: taken back, and pressed again
                seen.page.keyboard.press("Backspace")
                assert seen.page.locator("#progress").text_content().startswith("Picture 21 of 50, 20 answered")
                seen.page.keyboard.press(keys[truth[text()]])
        assert seen.page.locator("#summary").text_content() == "48 named, 1 of no class, 1 skipped."
        with seen.page.expect_download() as download:
            seen.page.keyboard.press("Enter")
        saved = page.parent / download.value.suggested_filename
        download.value.save_as(saved)
        seen.page.reload()  # what was answered is still there
        assert seen.page.locator("#progress").text_content() == "50 of 50 answered"
        assert seen.complaints == []
    rows = list(csv.DictReader(io.StringIO(saved.read_bytes().decode(), newline="")))
    assert len(rows) == 50 and len({row["plan"] for row in rows}) == 1
    assert all(row["label"] == truth[row["image_name"]] for row in rows if not row["answer"])
    assert [row["answer"] for row in rows if row["answer"]] == ["skipped", "none of these"]
    found = json.loads(told(capfd, "evaluate", run, "--labels", saved, "--json"))
    assert (found["n"], found["of"], found["foreign"], found["plan"]) == (48, 80, 1, rows[0]["plan"])
    # Held against labels of all pictures, which need no estimate.
    everything = tmp_path / "all.csv"
    with everything.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image_name", "label"], *truth.items()])
    whole = json.loads(told(capfd, "evaluate", run, "--labels", everything, "--json"))["accuracy"]
    assert whole["low"] == whole["value"] == whole["high"]
    assert found["accuracy"]["low"] <= whole["value"] <= found["accuracy"]["high"]
    # The page tells nothing of what the run makes of a picture.
    assert "confidence" not in page.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("size", [browser.DESKTOP, browser.PHONE])
def test_more_classes_than_keys_are_typed(chromium, tmp_path, size):
    classes = [f"class {number:02}" for number in range(40)]
    pictures = [
        ShownPicture(f"{number}.png", png(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()), True) for number in range(4)
    ]
    write_labelling_page(tmp_path / "page.html", "t", classes, pictures, "0123abcd", "labels.csv", "genshift evaluate")
    with browser.opened(chromium, tmp_path / "page.html", size) as seen:
        seen.page.keyboard.type("CLASS 3")
        assert seen.page.locator("#classes button").all_text_contents() == classes[30:]
        seen.page.keyboard.type("7")
        seen.page.keyboard.press("Enter")
        seen.page.keyboard.type("nothing")
        seen.page.keyboard.press("Enter")
        assert seen.page.locator("#said").text_content() == "No class begins so."
        for key in (*["Backspace"] * 7, "-", "Space", "Backspace", "Space"):
            seen.page.keyboard.press(key)
        seen.page.keyboard.type("class 00")
        seen.page.keyboard.press("Enter")
        with seen.page.expect_download() as download:
            seen.page.keyboard.press("Enter")
        lines = download.value.path().read_text(encoding="utf-8").splitlines()
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert seen.complaints == []
    answers = ["class 37,", ",none of these", ",skipped", "class 00,"]
    assert lines[1:] == [f"{number}.png,{answer},0123abcd" for number, answer in enumerate(answers)]


def test_keys():
    assert keys_of(tiny.DIGITS) == list(tiny.DIGITS), "a digit's key is itself"
    assert keys_of(("b", "A")) == ["b", "a"] and keys_of(("a", "A")) == ["1", "2"] and keys_of(("-", "x")) == ["1", "2"]
    assert keys_of([f"k{number}" for number in range(36)])[-1] == "z" and keys_of([f"k{n}" for n in range(37)]) == []
