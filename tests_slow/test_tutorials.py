"""Each tutorial to the letter: its files are saved, its commands typed, its quotes held against what is printed.

They are followed one after another in a copy of the project, in the environment that their own first commands made.
"""

import csv
import json
import re
from pathlib import Path

import browser
import pytest
from documents import Shell, blocks_of, check_quoted, reader


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as opened:
        yield opened


def follow(tutorial, folder, between=lambda block, where: None, **environment):
    """Types a tutorial whose environment is installed already; returns the folder that it ends in.

    between: what a reader does besides, before a block is typed.
    """
    printed = ""
    _, *blocks = blocks_of(tutorial)
    with Shell(folder, reader(**environment)) as shell:
        shell.run(". .venv/bin/activate")
        for block in blocks:
            where = Path(shell.run("pwd").strip())
            between(block, where)
            if block.file:
                (where / block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "sh":
                printed = shell.run(block.text)
            else:
                check_quoted(block.text, printed)
        spent = re.findall(r"(\d+)m([\d.]+)s", shell.run("times"))
    seconds = sum(60 * int(minutes) + float(seconds) for minutes, seconds in spent)
    print(f"{tutorial}: {seconds:.0f} s of processor, without what pip takes")
    return where


def text_of(chromium, page):
    """What a browser shows of a page, which must draw without a complaint and without a network."""
    with browser.opened(chromium, page) as seen:
        assert seen.complaints == []
        return seen.page.inner_text("body")


def test_they_begin_alike():
    """So that what is installed for one is what the others ask for."""
    assert len({blocks_of(name)[0] for name in ("student", "researcher", "own-pictures")}) == 1


def test_the_student(installed, chromium):
    where = follow("student", installed)
    shown = text_of(chromium, where / "runs" / "student" / "page.html")
    table = shown.partition("hw3 P3.1 to P3.3")[2]
    assert re.search(r"DANN\s+–\s+\d+\.\d+ ± \d+\.\d+ \(se\)", table), "one's own, of other pictures than the report's"
    assert re.search(r"DANN\s+42\.49\s+\d+\.\d+", table), "the published figure, and the record beside it"
    assert "The latent space of DANN" in shown
    for role in ("source", "dann", "target"):
        measured = json.loads((where / "runs" / "student" / role / "results.json").read_text())
        assert measured["oracle/target_test_accuracy"]["value"] > 0.3, "each has learnt far more than a guess"


def test_the_researcher(installed, chromium):
    where = follow("researcher", installed)
    shown = text_of(chromium, where / "runs" / "mine" / "page.html")
    assert "Entropy minimisation" in shown and "seed 2" in shown
    assert r"\begin{tabular}" in (where / "table.tex").read_text(encoding="utf-8")
    with (where / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"Source only", "DANN", "Entropy minimisation"}
    assert {row["seeds"] for row in rows} == {"0 1 2"}


def test_own_pictures(installed, chromium, tmp_path):
    (tmp_path / "Downloads").mkdir()
    labelled = []

    def label(block, where):
        """What the tutorial asks of the reader's own hands: fifty keys, and Enter."""
        page = where / "runs" / "mine" / "labels" / "label-1-50.html"
        if not page.exists() or labelled:
            return
        with (where / "truth.csv").open(encoding="utf-8", newline="") as file:
            truth = {row["image_name"]: row["label"] for row in csv.DictReader(file)}
        with browser.opened(chromium, page) as seen:
            for _ in range(50):
                seen.page.keyboard.press(truth[seen.page.locator("#name").text_content()])
            with seen.page.expect_download() as download:
                seen.page.keyboard.press("Enter")
            labelled.append(download.value.suggested_filename)
            download.value.save_as(tmp_path / "Downloads" / labelled[0])
            assert seen.complaints == []

    where = follow("own-pictures", installed, label, HOME=str(tmp_path))
    assert labelled
    with (where / "labels.csv").open(encoding="utf-8", newline="") as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == len(list((where / "unlabelled").iterdir()))
    audit = json.loads((where / "runs/mine/audit.json").read_text())
    assert audit["n"] == len(answers) and audit["accuracy"]["value"] > 0.9, "by the truth, at the end"
    assert len(list((where / "sorted" / "doubtful").rglob("*.png"))) > 0
    assert re.search(
        r"By labels of yours, [\d.]+% are named rightly \(50 labels", text_of(chromium, where / "page.html")
    )
