"""The section that holds label-free choices against the oracle."""

import json
import shutil

import browser
import numpy as np
import pytest
from report_fixtures import patch_json, write_json, write_lines, write_run

from genshift.report.contents import closing_sections, subject_sections
from genshift.report.model.label_free import source_only_accuracy
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.page import render, write_page
from genshift.report.parts import PAGE
from genshift.report.results_md import write_results
from genshift.report.sections.label_free import RULES_TITLE, score_curves
from genshift.runs.find import find_runs
from genshift.selection.rules import RULES

ORACLE = [0.30, 0.50, 0.70, 0.60]
ENTROPIES = {"entropy": 1.0, "diversity": 2.3, "class_entropy": 2.3}
TAKES = {"default": 0.60, "source": 0.30, "im": 0.60, "snd": 0.50, "dev": 0.70, "ensv": 0.50, "last": 0.60}
SCORES = {
    "source_accuracy": [0.99, 0.80, 0.97, 0.96],  # the second is below the floor
    "information": [0.1, 0.2, 0.3, 0.4],
    "snd": [1.0, 4.0, 3.0, 2.0],
    "dev_risk": [0.9, 0.4, 0.1, 0.5],
    "agreement": [0.5, 0.9, 0.6, 0.7],
}


def write_scores(folder, oracle=ORACLE, scores=SCORES):
    """Four candidates of a run, and the oracle's curve over them."""
    images = [1000 * (place + 1) for place in range(len(oracle))]
    rows = [
        {"images": count, "checkpoint": f"candidate-{count:012d}.safetensors", "source_error": 0.0, **ENTROPIES}
        | {key: values[place] for key, values in scores.items()}
        for place, count in enumerate(images)
    ]
    write_json(folder / "scores.json", {"n": {}, "protocol": "made up", "checkpoints": rows})
    lines = [{"images": count, "target_accuracy": value, "n": 400} for count, value in zip(images, oracle, strict=True)]
    write_lines(folder / "oracle.jsonl", lines)
    return folder


def judged(folders):
    return page_model(read_runs(folders)).choices


def trust(folders):
    """The sections over all runs but for what to cite."""
    return [
        section for section in closing_sections(page_model(read_runs(folders)), PAGE) if "cite" not in section.title
    ]


@pytest.fixture
def folders(tmp_path):
    """Two seeds of which rules choose alike; the second one's oracle stands upside down."""
    root = tmp_path / "own"  # of its own: the folder above it is reported whole
    one, two = (write_run(root, "own", "a→b", "dann", seed, 0.6) for seed in (0, 1))
    return [write_scores(one), write_scores(two, [1 - value for value in ORACLE])]


def test_regrets_are_what_the_oracle_says_of_each_choice(folders, tmp_path):
    (section,) = trust(folders)
    table = next(block for block in section.blocks if block.kind == "table")
    rows = {cells[0].text: [cell.text for cell in cells[1:]] for _, body in table.bodies for cells in body}
    assert set(rows) == set(RULES)
    for rule, taken in TAKES.items():
        regrets = [100 * (0.70 - taken), 100 * (0.70 - (1 - taken))]
        assert float(rows[rule][0]) == pytest.approx(np.mean(regrets), abs=0.006)
        assert float(rows[rule][1]) == pytest.approx(max(regrets), abs=0.006)
        assert rows[rule][2].endswith(f"seed {int(regrets[1] > regrets[0])}")
    assert "400 target images" in table.note and "2 runs" in table.note
    written = write_results(folders[0].parent.parent, tmp_path / "results.md").read_text()
    assert f"### {RULES_TITLE}" in written and "| " + " | ".join(["source", *rows["source"]]) in written


def test_the_best_rule_is_marked(tmp_path):
    (section,) = trust([write_scores(write_run(tmp_path, "own", "a→b", "dann", 0, 0.6))])
    table = next(block for block in section.blocks if block.kind == "table")
    tones = {cells[0].text: cells[1].tone for _, body in table.bodies for cells in body}
    assert {rule for rule, tone in tones.items() if tone} == {"dev"}


def test_each_score_has_its_own_range_and_a_star_at_its_choice(folders):
    drawn = json.loads(score_curves(judged(folders)[0]).spec)["data"]
    oracle, lines = drawn[0], {line["name"]: line for line in drawn[1:]}
    assert oracle["y"] == ORACLE and "yaxis" not in oracle
    assert lines["IM"]["y"] == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=1e-4)
    assert lines["DEV"]["y"] == pytest.approx([0, 0.625, 1, 0.5]) and lines["DEV"]["customdata"] == [0.9, 0.4, 0.1, 0.5]
    stars = {name: line["x"][line["marker"]["symbol"].index("star")] for name, line in lines.items()}
    assert stars == {"source acc": 1000, "IM": 4000, "SND": 2000, "DEV": 3000, "EnsV": 2000}


def test_a_score_that_never_changes_is_drawn_level(tmp_path):
    flat = {**SCORES, "snd": [2.0] * 4}
    folder = write_scores(write_run(tmp_path, "own", "a→b", "dann", 0, 0.6), scores=flat)
    drawn = json.loads(score_curves(judged([folder])[0]).spec)["data"]
    (line,) = [line for line in drawn if line["name"] == "SND"]
    assert line["y"] == [0.5] * 4 and line["marker"]["symbol"][-1] == "star"


def test_runs_without_scores_or_with_candidates_that_no_oracle_saw_are_left_out(folders, tmp_path):
    plain = write_run(tmp_path, "own", "a→b", "source", 0, 0.5)
    (folders[1] / "oracle.jsonl").unlink()
    assert [each.run.folder for each in judged([plain, *folders])] == [folders[0]]
    assert trust([plain, folders[1]]) == []
    model = page_model(read_runs([plain, *folders]))
    titles = [section.title for section in [*subject_sections(model, PAGE), *trust([plain, *folders])]]
    assert titles == ["own: a→b", RULES_TITLE]


def of_source(folder, accuracy):
    """A run's source accuracies, on held-out images and on test images."""
    write_lines(folder / "metrics.jsonl", [{"images": 1, "valid/source_accuracy": accuracy - 0.01}, {"images": 2}])
    entry = {"value": accuracy, "std": None, "n": 100, "protocol": "made up"}
    patch_json(folder / "results.json", lambda r: r.update(source_test_accuracy=entry))
    return folder


def test_what_the_record_says_of_source_only_goes_before_what_lies_beside_it(tmp_path):
    adapted = write_scores(write_run(tmp_path / "a", "own", "a→b", "dann", 0, 0.6))
    base = of_source(write_run(tmp_path / "a", "own", "a→b", "source", 0, 0.5), 0.9)
    others = [of_source(write_run(tmp_path / "b", "own", "a→b", "source", 0, 0.5), 0.8)]
    others += [
        of_source(write_run(tmp_path / "a", "own", *other, 0.5), 0.7)
        for other in (("a→b", "source", 1), ("a→c", "source", 0))
    ]

    def known(*folders):
        runs = read_runs([adapted, *others, *folders])
        return source_only_accuracy(next(run for run in runs if run.method == "dann"), runs)

    assert known() is None and known(base) == 0.89
    (base / "metrics.jsonl").unlink()  # as runs are kept under docs/results
    assert known(base) == 0.9
    for name, value in (("scores.json", 0.4), ("selection.json", 0.3), ("evaluation.json", 0.2)):
        new = {"rule": "default", "checkpoint": "last", "images": 1} if name == "selection.json" else {}
        content = json.loads((adapted / name).read_text()) if (adapted / name).exists() else new
        write_json(adapted / name, {**content, "source_only_accuracy": value})
        assert known(base) == known() == value


def test_the_recorded_source_only_accuracy_raises_the_default_rules_floor(tmp_path):
    """0.90 is within 5 points of the best candidate's 0.93, and not of source-only's 0.96."""
    unlike = {**SCORES, "source_accuracy": [0.80, 0.90, 0.82, 0.93]}
    folder = write_scores(write_run(tmp_path, "own", "a→b", "dann", 0, 0.6), scores=unlike)
    assert judged([folder])[0].taken["default"] == 2000
    patch_json(folder / "scores.json", lambda s: s.update(source_only_accuracy=0.96))
    assert judged([folder])[0].taken["default"] == 4000


def test_a_page_is_written_from_its_records_alone(folders, tmp_path):
    """Nothing is looked up on the disk once they are read: neither the runs nor what lies beside them."""
    of_source(write_run(tmp_path, "own", "a→b", "source", 0, 0.5), 0.9)
    model = page_model(read_runs(find_runs([tmp_path])))
    page = render(model, "kept")
    shutil.rmtree(tmp_path)
    assert render(model, "kept") == page and RULES_TITLE in page


def test_the_error_of_estimates_is_measured_over_all_runs_that_have_both(tmp_path):
    """Truths 0.6 and 0.8; a third run was not scored, a fourth has no target labels."""
    folders = [
        write_run(tmp_path, "own", "a→b", "dann", seed, value) for seed, value in enumerate((0.6, 0.8, 0.5, 0.7))
    ]
    stated = ((0.75, 0.64), (0.79, 0.74), (0.9, 0.5))
    for folder, (atc, verdict) in zip((folders[0], folders[1], folders[3]), stated, strict=True):
        values = {"verdict": verdict, "atc": atc, "doc": 0.7, "agreement": 1.0}
        entries = {f"estimate/{name}": {"value": value, "std": 0, "n": 9} for name, value in values.items()}
        results = {**json.loads((folder / "results.json").read_text()), **entries}
        if folder == folders[3]:
            del results["oracle/target_test_accuracy"]
        write_json(folder / "results.json", results)
    (section,) = trust(folders)
    errors, truths = (block for block in section.blocks if block.kind == "table")
    rows = [[float(cell.text) for cell in cells[1:]] for _, body in errors.bodies for cells in body]
    assert rows == [*(pytest.approx([2, *row]) for row in ([5, 6, -1], [8, 15, 7], [10, 10, 0], [30, 40, 30]))]
    assert [[cell.text for cell in cells[2:]] for _, body in truths.bodies for cells in body] == [
        ["60.00", "64.00", "75.00", "70.00", "100.00"],
        ["80.00", "74.00", "79.00", "70.00", "100.00"],
        ["–", "50.00", "90.00", "70.00", "100.00"],
    ]
    assert "off by 5.00 points on average" in section.blocks[0].text
    (alone,) = trust(folders[3:])
    assert alone.title == "Estimated accuracy" and "No target label says here how far off" in alone.blocks[0].text
    (tmp_path / "kept").mkdir()
    for folder in folders:
        folder.rename(tmp_path / "kept" / folder.name)
    written = write_results(tmp_path, tmp_path / "results.md").read_text()
    assert "### How far off is the estimated accuracy?" in written and "| 8.00 | 15.00 | 7.00 |" in written


def test_the_page_shows_it_without_a_network(folders, tmp_path):
    page = write_page(folders, tmp_path / "page.html")
    with browser.browser() as chromium, browser.opened(chromium, page, browser.PHONE) as seen:
        section = seen.page.locator("section.task", has_text=RULES_TITLE)
        assert section.locator("h2").inner_text() == RULES_TITLE and section.locator("tbody tr").count() == len(RULES)
        assert section.locator(".plot .scatterlayer .trace").count() == 2 * 6
        widths = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert seen.complaints == [] and widths[0] <= widths[1]


def test_what_a_users_own_labels_say_stands_on_the_page(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    assert "Can it be trusted?" not in write_page([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    protocol = "50 labels of 718 target pictures, drawn within strata of confidence; 95% interval 0.8800 to 0.9900"
    entry = {"value": 0.96, "std": 0.03, "n": 50, "protocol": protocol}
    patch_json(folder / "results.json", lambda results: results.update({"audit/accuracy": entry}))
    text = write_page([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Can it be trusted?" in text and f"By labels of yours, 96.00% are named rightly ({protocol})." in text
