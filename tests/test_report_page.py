"""The page as a reader meets it: in a real browser without a network, on a desk, a phone and paper."""

import browser
import pytest
from report_fixtures import patch_json, write_json, write_run, write_study

from genshift.errors import Refusal
from genshift.report.page import write_page

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


def test_a_run_of_no_role_gets_a_section(chromium, tmp_path):
    folder = write_run(tmp_path, "hw3", "x→y", "dann", 0, 0.5, role=None, task=None, name="hw3-vae", study="hw3")
    (folder / "evaluation.json").unlink()
    write_json(folder / "results.json", {"fid": {"value": 12.3456, "std": None, "n": 5000, "protocol": "…"}})
    with browser.opened(chromium, write_page([folder], tmp_path / "page.html")) as seen:
        text = seen.page.inner_text("main")
    assert "hw3: hw3-vae" in text and "12.35" in text and seen.complaints == []


def test_a_study_can_be_picked_and_an_unknown_one_is_refused(tmp_path):
    folders = [write_run(tmp_path, study, "a→b", "dann", 0, 0.5) for study in ("one", "two")]
    text = write_page(folders, tmp_path / "page.html", study="two").read_text(encoding="utf-8")
    assert "two: a→b" in text and "one: a→b" not in text
    with pytest.raises(Refusal, match="study 'three': they belong to one, two"):
        write_page(folders, tmp_path / "other.html", study="three")


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
