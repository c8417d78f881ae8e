"""The page as a reader meets it: in a real browser without a network, on a desk, a phone and paper."""

import json

import browser
import pytest
from markupsafe import escape
from report_fixtures import patch_json, write_json, write_lines, write_run, write_study

from genshift.errors import Refusal
from genshift.report.contents import subject_sections
from genshift.report.figures.adaptation import accuracy_curves, other_curves
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.page import write_page
from genshift.report.parts import PAGE

PLOTS = """[...document.querySelectorAll('.plot')].map(plot => ({
    svgs: plot.querySelectorAll('.main-svg').length,
    marks: plot.querySelectorAll('.points path, .lines path, .heatmaplayer image').length,
    wide: plot.getBoundingClientRect().width, label: plot.getAttribute('aria-label')}))"""


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    return write_page(write_study(root / "runs", seeds=2), root / "page.html")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A page of one run: quick to draw."""
    root = tmp_path_factory.mktemp("small")
    return write_page([write_run(root, "own", "a→b", "dann", 0, 0.5)], root / "page.html")


@pytest.mark.parametrize("size", [browser.DESKTOP, browser.PHONE])
def test_every_figure_is_drawn_without_a_network_and_nothing_overflows(chromium, page, size):
    with browser.opened(chromium, page, size) as seen:
        plots = seen.page.evaluate(PLOTS)
        widths = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert seen.complaints == []
    assert len(plots) == 1 + 2 * (4 + 3 + 3 + 3)
    assert all(plot["svgs"] >= 2 and plot["marks"] > 0 and plot["label"] for plot in plots), plots
    assert widths[0] <= widths[1] and all(plot["wide"] <= widths[1] for plot in plots)


def test_hover_shows_class_and_domain_and_the_legend_hides_a_class(chromium, small):
    with browser.opened(chromium, small) as seen:
        seen.page.mouse.move(*seen.point(plot=1, trace=3, index=5))
        seen.page.wait_for_selector(".plot .hoverlayer .hovertext")
        assert "class 3" in seen.page.locator(".hoverlayer .hovertext").first.text_content()
        count = "document.querySelectorAll('.plot')[1].querySelectorAll('.scatterlayer .trace').length"
        assert seen.page.evaluate(count) == 10
        seen.page.locator(".legend button").first.click()
        assert seen.page.evaluate(count) == 9
    assert seen.complaints == []


def test_source_is_blue_and_target_red(chromium, small):
    with browser.opened(chromium, small) as seen:
        traces = seen.page.locator(".plot").nth(2).locator(".scatterlayer .trace")
        fills = [traces.nth(k).locator("path").first.evaluate("p => getComputedStyle(p).fill") for k in (0, 1)]
    assert fills == ["rgb(31, 111, 209)", "rgb(214, 50, 44)"]


def test_paper_has_open_details_and_every_figure_fits(chromium, small):
    with browser.opened(chromium, small) as seen:
        seen.page.emulate_media(media="print")
        seen.page.set_viewport_size({"width": 690, "height": 980})
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        ends = "[...document.querySelectorAll('.main-svg')].map(s => s.getBoundingClientRect().right)"
        assert max(seen.page.evaluate(ends)) <= 691
        assert seen.page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
        assert len(seen.page.pdf(format="A4")) > 100_000


def test_dark_pages_have_light_text(chromium, small):
    with browser.opened(chromium, small, scheme="dark") as seen:
        fill = seen.page.evaluate("getComputedStyle(document.querySelector('.plot .xaxislayer-above text')).fill")
    assert fill == "rgb(228, 232, 237)"


def test_the_page_is_one_file_with_plotly_once(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("plotly.js v") == 1 and "<script src" not in text and "<link" not in text
    assert text.count("<h1>") == 1 and 'lang="en"' in text and 'href="#section-2"' in text
    assert list(page.parent.glob(".page.html*")) == []


def test_what_was_not_evaluated_is_said_and_not_drawn(chromium, tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    for name in ("evaluation.json", "results.json", "oracle.jsonl"):
        (folder / name).unlink()
    with browser.opened(chromium, write_page([folder], tmp_path / "page.html")) as seen:
        text = seen.page.inner_text("main")
        assert seen.page.locator(".plot").count() == 2
    assert "not evaluated yet" in text and "Latent space" in text and seen.complaints == []


def test_names_with_markup_stay_text(chromium, tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5, summary="<script>alert(1)</script>")
    bad = "</script><img src=x onerror=alert(1)>"
    patch_json(folder / "evaluation.json", lambda e: e["classes"].__setitem__(3, bad))
    patch_json(folder / "config.json", lambda c: c["networks"].update(Odd=bad))
    with browser.opened(chromium, write_page([folder], tmp_path / "page.html", title=bad)) as seen:
        assert seen.page.title() == bad and seen.page.locator("main img").count() == 0
        assert seen.page.locator(".legend button").nth(3).inner_text() == bad
    assert seen.complaints == []


def test_a_run_that_has_just_begun_and_one_without_target_labels_have_a_page(chromium, tmp_path):
    begun, blind = (write_run(tmp_path, "own", "a→b", role, 0, 0.5) for role in ("source", "dann"))
    for path in begun.iterdir():
        if path.name != "config.json":
            path.unlink()
    patch_json(blind / "results.json", lambda r: r.pop("oracle/target_test_accuracy"))
    patch_json(blind / "evaluation.json", lambda e: e.pop("confusion"))
    with browser.opened(chromium, write_page([begun, blind], tmp_path / "page.html")) as seen:
        text = seen.page.inner_text("main")
    assert "Source only: not evaluated yet." in text and "DANN: no target labels." in text and seen.complaints == []


def test_chance_of_the_domain_classifier_is_a_half_whatever_the_batches(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(batch_source=256, batch_target=64))
    (run,) = read_runs([folder])
    traces = json.loads(accuracy_curves(run, "DANN").spec)["data"]
    assert [trace["y"] for trace in traces if "chance" in trace["name"]] == [[0.5, 0.5]]


def test_a_curve_that_never_changes_is_left_to_the_settings(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    lines = [{"images": 10 * k, "train/lam": 0.1 + 1e-8 * k} for k in (1, 2, 3)]  # means in float32
    write_lines(folder / "metrics.jsonl", lines)
    assert other_curves(read_runs([folder])[0], "DANN") is None
    write_lines(folder / "metrics.jsonl", [*lines, {"images": 40, "train/lam": 0.2}])
    assert other_curves(read_runs([folder])[0], "DANN") is not None


def settings_of(folder):
    """Setting → its cell on the page of one run."""
    (section,) = subject_sections(page_model(read_runs([folder])), PAGE)
    (table,) = next(b for b in section.blocks if b.kind == "folded" and b.summary.startswith("Every setting")).blocks
    return {row[0].text: row[1] for row in table.bodies[0][1]}


@pytest.mark.parametrize(
    "used, preset, text, badge",
    [
        (600_000, 600_000, "600,000", "published (epochs)"),
        (100_032, 11_993_600, "100,032 (of 11,993,600 published)", "yours"),
        (102_080, 102_074, "102,080", "published (epochs)"),  # a whole last batch
    ],
)
def test_the_settings_show_the_budget_that_was_used(tmp_path, used, preset, text, badge):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5, origins={"images": "published (epochs)"})
    patch_json(folder / "config.json", lambda c: (c.update(images=used), c["preset"]["fields"].update(images=preset)))
    cell = settings_of(folder)["images"]
    assert (cell.text, cell.badge) == (text, badge)


def test_data_notes_stand_once_below_their_table(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    note = "svhn: 6,000 train images are here."
    patch_json(folder / "config.json", lambda c: [entry.update(notes=[note]) for entry in c["data"].values()])
    patch_json(folder / "config.json", lambda c: c.update(threads=1))
    text = write_page([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count(f'<p class="note">{note}</p>') == text.count(note) == 1 and " 1 thread," in text


def test_epochs_are_information_and_no_row_where_there_are_none(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5, origins={"epochs": "published"})
    patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(epochs=200))
    assert settings_of(folder)["epochs"].text == "200 behind the published budget"
    patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(epochs=0))
    assert "epochs" not in settings_of(folder)


@pytest.mark.parametrize(
    "origin, classes, said",
    [
        ("published (the printed layer: ours)", "published", "the printed layer: ours"),
        ("ours (the only size)", "ours", "the only size"),
        ("cited source: ML2021 HW11", "cited", "ML2021 HW11"),
        ("yours", "yours", ""),
        ("somebody's", "other", ""),
    ],
)
def test_every_origin_has_its_badge_and_its_reason_in_full(tmp_path, origin, classes, said):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5, origins={"lr": origin})
    text = write_page([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    assert f'<span class="badge {classes}" title="{escape(origin)}">' in text
    assert f"<small>{said}</small>" in text if said else "<small>" not in text


def test_a_run_of_no_role_gets_a_section(chromium, tmp_path):
    folder = write_run(tmp_path, "hw3", "x→y", "dann", 0, 0.5, role=None, task=None, name="hw3-vae", study="hw3")
    (folder / "evaluation.json").unlink()
    write_json(folder / "results.json", {"fid": {"value": 12.3456, "std": None, "n": 5000, "protocol": "…"}})
    with browser.opened(chromium, write_page([folder], tmp_path / "page.html")) as seen:
        text = seen.page.inner_text("main")
    assert "hw3: hw3-vae" in text and "12.35" in text and seen.complaints == []


def test_inconsistent_evaluations_and_bad_outputs_are_refused(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match="a file"):
        write_page([folder], tmp_path / "file" / "page.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(Refusal, match="a folder stands where a file is needed"):
        write_page([folder], tmp_path / "folder.html")
    assert list(tmp_path.glob(".folder.html*")) == []
    patch_json(folder / "evaluation.json", lambda e: e["tsne"]["x"].pop())
    with pytest.raises(Refusal, match="unlike lengths"):
        write_page([folder], tmp_path / "page.html")
    patch_json(folder / "evaluation.json", lambda e: (e.pop("tsne"), e["confusion"].pop()))
    with pytest.raises(Refusal, match="not one row a class"):
        write_page([folder], tmp_path / "page.html")
