"""Methods by task at equal conditions, settings by task, what to cite, and pages of many methods."""

import base64
import json
import math
import re
from io import BytesIO
from pathlib import Path

import browser
import numpy as np
import pytest
from PIL import Image
from report_fixtures import patch_json, write_json, write_lines, write_run
from test_report_selection import write_scores

from genshift.data.catalog import CATALOG
from genshift.presets import PRESETS
from genshift.presets.methods import METHODS
from genshift.report.figures.adaptation import CLASS_COLOURS, loss_curves
from genshift.report.figures.thumbnails import SIDE, thumbnails
from genshift.report.model.method_comparison import oracle_texts
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.page import write_page
from genshift.report.results_md import read_notes, write_results
from genshift.report.sections.citations import citations, cited_for
from genshift.report.sections.method_comparison import settings_by_task, table, verdicts

CUT = "ours (the study's cpu budget)"
MANY = {"source": 0.40, "adabn": 0.42, "mcc": 0.70, "adamatch": 0.72, "shot": 0.30, "target": 0.95}


def write_method(root, task, role, seed, accuracy, images=64_000, origin=CUT, **preset):
    folder = write_run(root, "adaptation", task, role, seed, accuracy, **preset)
    patch_json(folder / "config.json", lambda c: c.update(images=images))
    patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(images=images, width=64, size=28))
    patch_json(folder / "config.json", lambda c: c["preset"]["origins"].update(images=origin))
    return folder


def write_many(root, tasks=("a→b", "c→d"), seeds=1):
    return [
        write_method(root, task, role, seed, value + 0.01 * seed)
        for task in tasks
        for role, value in MANY.items()
        for seed in range(seeds)
    ]


def matrices(folders):
    return page_model(read_runs(folders)).matrices


def cells(matrix):
    return {row[0].text: row[1:] for _, rows in table(matrix).bodies for row in rows}


def test_rows_go_from_source_only_to_the_bound_and_hold_mean_spread_seeds_and_gain(tmp_path):
    (matrix,) = matrices(write_many(tmp_path, seeds=3))
    assert matrix.tasks == ("a→b", "c→d")
    assert matrix.methods == ("Source only", "AdaBN", "MCC", "AdaMatch", "SHOT", "Trained on target")
    shown = cells(matrix)["MCC"][0]
    assert shown.text == "71.00 ± 1.00" and shown.note == "+30.00 · 3 seeds"
    assert cells(matrix)["Source only"][0].note == "3 seeds"
    assert [method for method, row in cells(matrix).items() if row[0].tone == "best"] == ["AdaMatch"]


def test_noise_is_two_standard_errors_of_the_difference(tmp_path):
    """By hand: one seed each, binomial errors of 1,000 images."""
    (matrix,) = matrices(write_many(tmp_path))
    for method, role in (("AdaBN", "adabn"), ("MCC", "mcc"), ("SHOT", "shot")):
        p, base = MANY[role], MANY["source"]
        error = math.sqrt(p * (1 - p) / 1000 + base * (1 - base) / 1000)
        assert cells(matrix)[method][0].note.startswith("≈") == (abs(p - base) < 2 * error)
    assert matrix.as_good("a→b") == ["MCC"]
    said = "a→b: AdaMatch is best, MCC is within noise of it. Below source only, beyond noise: SHOT."
    assert verdicts(matrix)[0] == said


def test_a_spread_over_seeds_is_noise_too(tmp_path):
    wide = [write_method(tmp_path, "a→b", "dann", seed, value) for seed, value in enumerate((0.3, 0.5, 0.7))]
    steady = [write_method(tmp_path, "a→b", "mcc", seed, 0.5) for seed in range(3)]
    base = [write_method(tmp_path, task, "source", seed, 0.4) for task in ("a→b", "c→d") for seed in range(3)]
    (matrix,) = matrices([*wide, *steady, *base])
    assert cells(matrix)["DANN"][0].note.startswith("≈ +10.00") and cells(matrix)["MCC"][0].note.startswith("+10.00")


@pytest.mark.parametrize(
    "unlike, said",
    [
        (lambda c: c["preset"]["fields"].update(width=16), "width 16"),
        (lambda c: c["preset"]["origins"].update(images="ours (the study's quick budget)"), "quick budget"),
        (lambda c: c["preset"]["origins"].update(images="yours"), "64,000 images"),
        (lambda c: c.update(minutes=10.0), "10.0 minutes"),
    ],
)
def test_runs_of_another_backbone_or_budget_stand_in_a_table_of_their_own(tmp_path, unlike, said):
    folders = write_many(tmp_path)
    for folder in folders:
        if "-mcc-" in folder.name or "-source-" in folder.name:
            patch_json(folder / "config.json", unlike)
    one, other = sorted(matrices(folders), key=lambda matrix: len(matrix.methods))
    assert set(one.methods) == {"Source only", "MCC"} and said in one.conditions
    assert set(other.methods) == {"AdaBN", "AdaMatch", "SHOT", "Trained on target"}
    assert all(other.gain(method, "a→b") is None for method in other.methods)


def test_a_preset_smaller_than_its_studys_budget_stands_with_those_that_were_cut(tmp_path):
    folders = write_many(tmp_path)
    whole = [f for f in folders if "-source-" in f.name]
    for folder in whole:
        patch_json(folder / "config.json", lambda c: c.update(images=50_000))
        patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(images=50_000))
        patch_json(folder / "config.json", lambda c: c["preset"]["origins"].update(images="published"))
    assert [matrix.methods[0] for matrix in matrices(folders)] == ["Source only"]
    for folder in whole:
        patch_json(folder / "config.json", lambda c: c.update(images=90_000))
        patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(images=90_000))
    assert all("Source only" not in matrix.methods for matrix in matrices(folders))


def test_unlike_data_of_a_task_stands_in_one_column_and_is_told_in_words(tmp_path):
    """hw3's usps→mnistm: ADDA learns from colour in [0, 1], the others from normalised grey, and is the best."""
    folders = write_many(tmp_path, tasks=("a→b",))
    for folder in folders:
        if "-mcc-" in folder.name:
            patch_json(folder / "config.json", lambda c: c["data"]["source"].update(fingerprint="sha256:ffff"))
        if "-shot-" in folder.name:
            patch_json(folder / "config.json", lambda c: c["data"]["source"].update(fingerprint="sha256:eeee", n=100))
        if "-adamatch-" in folder.name:
            patch_json(folder / "config.json", lambda c: c["data"]["target"].update(fingerprint="sha256:dddd"))
            patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(colour="rgb", mean=0.0))
        if "-target-" in folder.name:  # sealed of the others
            patch_json(folder / "config.json", lambda c: c["data"]["source"].update(name="b:train", n=6_000))
    (matrix,) = matrices(folders)
    assert matrix.tasks == ("a→b",) and {"Source only", "Trained on target"} <= set(matrix.methods)
    drawn = table(matrix)
    notes = {row[0].text: row[1].note.split(" · ")[-1] for row in drawn.bodies[0][1]}
    assert notes["MCC"] == "other pictures" and notes["SHOT"] == "100 images of a:train"
    assert notes["AdaMatch"] == "colour rgb, mean 0" and notes["AdaBN"] == "1 seed"
    assert "they were prepared otherwise than source only's" in drawn.note
    assert "Trained on target" in notes and notes["Trained on target"] == "1 seed"


def test_one_tasks_three_roles_need_no_second_table_and_what_was_not_run_has_a_dash(tmp_path):
    three = [write_method(tmp_path, "a→b", role, 0, 0.5) for role in ("source", "dann", "target")]
    assert matrices(three) == ()
    folders = [*three, write_method(tmp_path, "c→d", "mcc", 0, 0.5)]
    (folders[1] / "results.json").unlink()
    (matrix,) = matrices(folders)
    assert cells(matrix)["MCC"][0].text == "–" and cells(matrix)["DANN"][0].text == "not evaluated yet"
    assert matrix.best("c→d") == ""


def test_the_oracles_best_stands_apart_with_what_the_choice_lost(tmp_path):
    folders = write_many(tmp_path, tasks=("a→b",))
    chosen = write_scores(next(f for f in folders if "-mcc-" in f.name))  # its oracle: 0.3, 0.5, 0.7, 0.6
    write_json(chosen / "selection.json", {"rule": "default", "images": 2000, "checkpoint": "candidate-2000"})
    last = write_scores(next(f for f in folders if "-adamatch-" in f.name))
    (matrix,) = matrices(folders)
    assert oracle_texts(matrix, "MCC", "a→b") == ("70.00", "in use: 20.00 below")
    assert oracle_texts(matrix, "AdaMatch", "a→b") == ("70.00", "in use: 10.00 below")
    assert "1 adapted run: the checkpoint that a rule chose" in table(matrix).note and "3 without" in table(matrix).note
    patch_json(last / "config.json", lambda c: c["preset"]["fields"].update(select="best"))
    (matrix,) = matrices(folders)
    assert oracle_texts(matrix, "AdaMatch", "a→b") == ("70.00", "")


# --- settings by task -----------------------------------------------------------------------------------------------


def write_settings(root):
    """ADDA of two tasks, each preset with a rate of its own, and one other rate and colour each."""
    folders = []
    for task, own in (("a→b", 1e-3), ("c→d", 1e-5)):
        for lr, colour, accuracy in ((own, "grey", 0.5), (1e-4, "grey", 0.6), (own, "rgb", 0.4)):
            folder = write_method(root / f"{lr}{colour}", task, "adda", 0, accuracy)
            changed = ["lr"] * (lr != own) + ["colour"] * (colour != "grey")
            patch_json(folder / "config.json", lambda c, lr=lr, colour=colour, changed=changed: (
                c["preset"]["fields"].update(lr=lr, colour=colour, mean=0.0, std=1.0),
                c["preset"]["origins"].update(dict.fromkeys(changed, "yours (varied by the study)")),
                c["preset"].update(published={} if changed else {"target_accuracy": 0.55}),
            ))  # fmt: skip
            folders.append(folder)
    return folders


def test_a_setting_by_task_has_the_presets_own_runs_and_the_varied_ones(tmp_path):
    rates, transforms = page_model(read_runs(write_settings(tmp_path))).settings
    assert "ADDA by learning rate and task" in rates.title and "ADDA by transform and task" in transforms.title
    assert rates.settings == ("lr 1e-05", "lr 0.0001", "lr 0.001") and rates.tasks == ("a→b", "c→d")
    assert rates.text("lr 0.001", "a→b").endswith("○") and rates.text("lr 0.001", "c→d") == "–"
    assert rates.text("lr 0.0001", "a→b").startswith("60.00") and rates.best("a→b") == "lr 0.0001"
    assert {setting.partition(",")[0] for setting in transforms.settings} == {"colour grey", "colour rgb"}
    assert len(transforms.rows) == 4


def test_poolings_stand_in_one_table_whatever_their_size(tmp_path):
    """Recorded before there was a choice, a run pools twice; the report's claim and what noise tells stand below."""
    folders = []
    for pooling, size, accuracy in (("", 28, 0.50), ("two-averaged", 32, 0.51), ("five", 32, 0.30)):
        folder = write_method(tmp_path / f"{pooling}", "mnistm→svhn", "dann", 0, accuracy)
        changed = {"pooling": pooling, "size": size} if pooling else {}
        patch_json(folder / "config.json", lambda c, changed=changed: (
            c["preset"]["fields"].update(changed),
            c["preset"]["origins"].update(dict.fromkeys(changed, "yours (varied by the study)")),
        ))  # fmt: skip
        folders.append(folder)
    model = page_model(read_runs(folders))
    (poolings,) = model.settings
    assert poolings.settings == ("pooling five, size 32", "pooling two, size 28", "pooling two-averaged, size 32")
    assert "DANN by pooling and task" in poolings.title
    assert poolings.text("pooling two, size 28", "mnistm→svhn").endswith("○")
    *_, claim, verdict = settings_by_task(model)
    assert "at most 40%" in claim.text and "pooling two, size 28 is within noise of it" in verdict.text


def test_a_method_in_one_way_has_no_such_table(tmp_path):
    assert page_model(read_runs(write_many(tmp_path))).settings == ()


# --- what to cite ---------------------------------------------------------------------------------------------------


def test_every_method_and_data_set_of_adaptation_has_its_papers():
    assert {name for name, row in METHODS.items() if not row.papers} == {"source", "target"}
    sets = {name for p in PRESETS.values() if p.family == "adaptation" for name in (p.source, p.target)}
    sets -= {"source/", "target/"}  # a user's own
    assert all(CATALOG[name].papers for name in sets)
    origins = {said for p in PRESETS.values() for said in p.origins.values() if p.method in METHODS}
    numbers = {number for said in origins for number in re.findall(r"arXiv (\d{4}\.\d{5})", said)}
    assert numbers <= {paper.arxiv for row in METHODS.values() for paper in row.papers}


def test_entries_are_bibtex():
    for paper in {
        *(p for row in METHODS.values() for p in row.papers),
        *(p for data in CATALOG.values() for p in data.papers),
    }:
        assert paper.bibtex.count("{") == paper.bibtex.count("}")
        assert re.match(rf"@(article|inproceedings|misc)\{{{paper.key},\n  author = \{{", paper.bibtex)
        assert all(re.match(r"  \w+ = \{.+\},$", line) for line in paper.bibtex.splitlines()[1:-1])


def test_a_page_cites_what_its_runs_used_and_no_more(tmp_path):
    runs = read_runs([write_method(tmp_path, "mnistm→usps", role, 0, 0.5) for role in ("source", "dann-mcc")])
    assert [subject for subject, _ in cited_for(runs)] == ["DANN + MCC", "mnistm", "usps"]
    entries = citations(page_model(runs))[-1].text
    assert entries.count("@") == 5 and entries.count("ganin2016dann") == 1 and "netzer" not in entries
    gan = read_runs([write_run(tmp_path, "own", "a→b", "dann", 0, 0.5, role="gan", family="gan")])
    assert citations(page_model(gan)) == []


# --- the page -------------------------------------------------------------------------------------------------------


def test_no_two_losses_of_a_run_share_a_colour(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "shot", 0, 0.6)
    names = ("loss_label", "loss_information", "loss_pseudo", "loss_domain")
    rows = [{"images": count, **{f"train/{name}": 1.0 / count for name in names}} for count in (64, 128)]
    write_lines(folder / "metrics.jsonl", rows)
    figure = loss_curves(read_runs([folder])[0], "SHOT")
    assert figure is not None
    colours = {line["name"]: line["line"]["color"] for line in json.loads(figure.spec)["data"]}
    assert len(colours) == len(set(colours.values())) == len(names)


def test_small_pictures_show_each_class_and_domain_in_its_colour(tmp_path):
    (run,) = read_runs([write_run(tmp_path, "own", "a→b", "dann", 0, 0.9)])
    by_class, by_domain, confusion = thumbnails(run, "DANN")
    drawn = [Image.open(BytesIO(base64.b64decode(p.data.partition(",")[2]))) for p in (by_class, by_domain, confusion)]
    assert all(image.size == (SIDE, SIDE) for image in drawn) and max(len(p.data) for p in (by_class, confusion)) < 9000
    pixels = [np.asarray(image.convert("RGB")).astype(int).reshape(-1, 3) for image in drawn]
    for colour in CLASS_COLOURS:
        wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        assert (abs(pixels[0] - wanted).max(1) < 24).sum() > 20, colour
    cells = pixels[2].reshape(SIDE, SIDE, 3).sum(2)
    step = SIDE / 10
    middles = [[cells[int((i + 0.5) * step), int((j + 0.5) * step)] for j in range(10)] for i in range(10)]
    assert (np.argmin(middles, axis=1) == np.arange(10)).all()  # darkest on the diagonal


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    folders = write_many(root / "runs", tasks=("mnistm→svhn",))
    return write_page(folders, root / "page.html")


@pytest.mark.parametrize("size", [browser.DESKTOP, browser.PHONE])
def test_many_methods_are_seen_at_a_glance_and_one_in_full(page, size):
    with browser.browser() as chromium, browser.opened(chromium, page, size) as seen:
        assert seen.page.locator(".options button").count() == len(MANY)
        assert seen.page.locator(".options img").count() == 3 * len(MANY)
        assert seen.page.locator('.options [aria-pressed="true"]').inner_text().startswith("AdaMatch: 72.00 %")
        drawn = ".chosen .js-plotly-plot"
        before = seen.page.locator(drawn).count()
        assert before == seen.page.locator(".chosen:not([hidden]) .plot").count() > 4
        seen.page.get_by_role("button", name="MCC").click()
        seen.page.wait_for_selector("body[data-ready]")
        shown = seen.page.locator(".chosen:not([hidden])")
        assert shown.count() == 1 and "MCC, by class" in shown.inner_text()
        assert seen.page.locator(drawn).count() > before and shown.locator(".js-plotly-plot .main-svg").count() > 0
        widths = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        text = seen.page.inner_text("main")
    assert seen.complaints == [] and widths[0] <= widths[1]
    assert "Methods by task" in text and "The oracle's best checkpoint" in text and "What to cite" in text


def test_results_md_has_the_same_table(tmp_path):
    folders = write_many(tmp_path / "kept" / "adaptation", seeds=2)
    for folder in folders:
        for path in folder.iterdir():
            if path.name not in ("config.json", "results.json", "oracle.jsonl"):
                path.unlink()
        write_lines(folder / "oracle.jsonl", [{"images": 10, "target_accuracy": 0.5, "n": 100}])
    text = write_results(tmp_path / "kept", tmp_path / "results.md").read_text(encoding="utf-8")
    (matrix,) = matrices(folders)
    assert f"### Methods by task: {matrix.conditions}" in text
    assert "| AdaMatch | **72.50 ± 0.71** · +32.00 · 2 seeds | **72.50 ± 0.71** · +32.00 · 2 seeds |" in text
    assert all(f"\n{said}\n" in text for said in verdicts(matrix))
    assert "| AdaMatch | 50.00 · in use: 0.00 below |" in text


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "docs/results").glob("*/notes.md")), ids=lambda path: path.parent.name
)
def test_a_written_cause_is_one_paragraph_of_its_own_heading(path):
    """What stands below it would be told as its cause too: hw3's word on ADDA once was DANN's."""
    causes = {heading: text for heading, text in read_notes(path).items() if heading}
    assert not [heading for heading, text in causes.items() if not text or "\n\n" in text]
