"""Diffusion models in the page: measures and classes beside real pictures, moving pictures, and the sweep's figures."""

import base64
import json
import re
import shutil
from io import BytesIO

import browser
import pytest
from PIL import Image
from report_fixtures import patch_json
from report_pictures import UNDER, write_diffusion, write_gan, write_sweep

from genshift.report.console import compare_table, format_table
from genshift.report.contents import subject_sections
from genshift.report.figures import generators
from genshift.report.figures.diffusion import sweep_figures
from genshift.report.figures.pictures import kind_and_size
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.page import write_page
from genshift.report.parts import PAGE
from genshift.report.results_md import write_results
from genshift.runs.records import read_record


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    ours = [write_diffusion(root, "digits-diffusion", seed) for seed in (0, 1)]
    write_sweep(ours[0])
    return [*ours, write_diffusion(root, "hw2-diffusion", 0, {"frechet": 12.0, "class_accuracy": 0.95})]


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    return write_page(folders, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as opened:
        yield opened


def sections(folders):
    return subject_sections(page_model(read_runs(folders)), PAGE)


def blocks(folders, kind):
    (section,) = sections(folders)
    return [block for block in section.blocks if block.kind == kind]


# --- the page in a browser --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [browser.DESKTOP, browser.PHONE])
def test_the_section_is_whole_and_nothing_overflows(chromium, page, size):
    with browser.opened(chromium, page, size) as seen:
        pictures = seen.page.evaluate(
            "[...document.querySelectorAll('main img')].map(i => [i.src.slice(5, 15), i.naturalWidth, i.alt])"
        )
        widths = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        plots = seen.page.evaluate(
            "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('path').length)"
        )
        text = seen.page.inner_text("main")
    assert seen.complaints == [] and widths[0] <= widths[1]
    assert [kind for kind, *_ in pictures].count("image/webp") == 2 and len(pictures) == 2 * (4 + 3)
    assert all(width > 0 and alt for _, width, alt in pictures)
    assert len(plots) == 3 + 2 and min(plots) > 0
    assert "hw2 gives no figure" in text and "left out at random" in text
    assert "digits-diffusion has the lowest Fréchet, 6 ± 0, 50% below hw2-diffusion; the floor is 0.8." in text
    assert "hw2-diffusion: not swept. The command genshift sweep RUN" in text and "Chosen: dpm++3m in 10 steps" in text


@pytest.mark.parametrize("size", [browser.DESKTOP, browser.PHONE])
def test_columns_of_the_reverse_process_are_named_below(chromium, page, size):
    """Each label is within its column, and no word of it stands over into the next."""
    with browser.opened(chromium, page, size) as seen:
        framed = seen.page.locator(".framed", has=seen.page.locator(".under")).first
        strip = framed.locator("img").bounding_box()
        labels = framed.locator("li").all()
        boxes = [label.bounding_box() for label in labels]
        assert [label.inner_text() for label in labels] == UNDER
        assert framed.locator("li").evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
    for place, box in enumerate(boxes):
        assert box["x"] == pytest.approx(strip["x"] + place * strip["width"] / 6, abs=1)
        assert box["width"] == pytest.approx(strip["width"] / 6, abs=1) and box["y"] >= strip["y"] + strip["height"]


def test_a_moving_picture_is_embedded_byte_for_byte(folders, page):
    film = (folders[0] / "samples" / "reverse.webp").read_bytes()
    assert f"data:image/webp;base64,{base64.b64encode(film).decode()}" in page.read_text(encoding="utf-8")
    assert kind_and_size(film) == ("WEBP", (92, 20))
    assert kind_and_size(b"RIFF\x00\x00\x00\x00WEBPVP8 ") is None and kind_and_size(b"") is None
    Image.new("RGB", (3, 2)).save(gif := BytesIO(), "GIF")
    assert kind_and_size(gif.getvalue()) == ("GIF", (3, 2))


# --- measures and classes ---------------------------------------------------------------------------------------------


def test_all_diffusion_models_of_a_set_stand_in_one_section(folders, tmp_path):
    titles = [section.title for section in sections([*folders, write_gan(tmp_path)])]
    assert titles == ["digits and hw2: Diffusion models of mnistm", "hw2: GANs of celeba"]


def test_accuracy_and_costs_stand_beside_the_distance(folders):
    table = blocks(folders, "table")[0]
    assert table.head[1:4] == ["seeds", "images seen", "CPU min"], "never scrolled off"
    assert table.head[4:7] == ["right class, %", "Fréchet", "precision"]
    assert table.head[9:12] == ["network evaluations", "seconds a picture", "GFLOP a picture"]
    (_, (first, second, floors)), *_ = table.bodies
    (ours, _, _, _, right, *_), (theirs, _, _, _, worse, *_), (_, _, _, _, floor, *_) = first, second, floors
    assert (ours.text, right.text, right.tone) == ("digits-diffusion", "99.10 ± 0.00", "best")
    assert (theirs.text, worse.text, floor.text) == ("hw2-diffusion", "95.00 ± 1.90", "99.40")
    text = format_table(compare_table(folders))
    assert "right class, %" in text and "GFLOP a picture" in text


def test_other_samplings_stand_beside_the_measures_and_are_measured_alike(folders, tmp_path):
    """Of runs that were drawn in other ways the best is marked, and the terms say how each was drawn."""
    patient = write_diffusion(tmp_path, "hw2-diffusion", 0, {"frechet": 12.0})
    passes = "pictures that pass through the network for each one drawn; ddpm in 1,000 steps, guidance 3"
    patch_json(patient / "results.json", lambda r: r["evaluations_per_image"].update(protocol=passes))
    (_, ((_, _, _, _, _, frechet, *_), *_)), *_ = blocks([*folders[:2], patient], "table")[0].bodies
    assert (frechet.text, frechet.tone) == ("6 ± 0", "best")
    shown = blocks([*folders[:2], patient], "terms")[0]
    guided = "dpm++2m in 20 steps, guidance 1.5 away from the model without a label for t in (0, 1]"
    assert shown.summary == "What each measure is" and list(shown.terms[:2]) == [
        ("digits-diffusion", f"drawn with {guided}."),
        ("hw2-diffusion", "drawn with ddpm in 1,000 steps, guidance 3."),
    ]
    (kept := tmp_path / "kept" / "hw2").mkdir(parents=True)
    shutil.copytree(patient, kept / patient.name)
    (kept / patient.name / "evaluation.json").unlink()
    text = write_results(kept.parent, tmp_path / "results.md").read_text()
    assert "- hw2-diffusion: drawn with ddpm in 1,000 steps, guidance 3.\n" in text


def test_each_class_stands_beside_real_pictures(folders):
    table = blocks(folders, "table")[1]
    assert [name for name, _ in table.bodies] == ["digits-diffusion", "hw2-diffusion"]
    rows = table.bodies[0][1]
    assert len(rows) == 10
    assert [cell.text for cell in rows[3]] == ["3", "98.30", "99.50", "33", "21.5", "100"]


def test_a_class_that_was_too_small_to_measure_is_a_dash(tmp_path):
    folder = write_diffusion(tmp_path)
    empty = {"class": "0", "n": 1, "accuracy": None, "real_accuracy": 1.0, "frechet": None, "floor": None}
    patch_json(folder / "evaluation.json", lambda e: e.update(by_class=[empty]))
    assert [cell.text for cell in blocks([folder], "table")[1].bodies[0][1][0]] == ["0", "–", "100.00", "–", "–", "1"]


def test_losses_of_diffusion_models_are_drawn_and_no_other_familys(tmp_path):
    run, gan = read_record(write_diffusion(tmp_path)), read_record(write_gan(tmp_path))
    (figure,) = generators.denoising_curves([("ours", run), ("gan", gan)])
    assert [trace["name"] for trace in json.loads(figure.spec)["data"]] == [
        "loss", "squared error of the predicted picture"
    ]  # fmt: skip


def test_results_md_holds_them(folders, tmp_path):
    (kept := tmp_path / "kept" / "digits").mkdir(parents=True)
    for folder in folders:
        (kept / folder.name).mkdir()
        for name in ("config.json", "results.json"):
            (kept / folder.name / name).write_bytes((folder / name).read_bytes())
    text = write_results(kept.parent, tmp_path / "results.md").read_text()
    assert "### Diffusion models of mnistm" in text and re.search(
        r"\| digits-diffusion \| .* \| \*\*99.10 ± 0.00\*\* \|", text
    )
    assert "network evaluations | seconds a picture | GFLOP a picture |" in text


# --- the sweep --------------------------------------------------------------------------------------------------------


def drawn(figure):
    """The traces of a figure as (panel, name, x, y)."""
    traces = json.loads(figure.spec)["data"]
    return [(trace["yaxis"], trace.get("name", ""), trace["x"], trace["y"]) for trace in traces]


def test_a_sweeps_figures_show_accuracy_distance_floor_and_choice(tmp_path):
    figures = sweep_figures("ours", write_sweep(tmp_path))
    assert [figure.title for figure in figures] == [
        "ours: guidance strength",
        "ours: guided noise levels t",
        "ours: network evaluations",
    ]
    strength = drawn(figures[0])
    assert ("y", "", [1.0, 2.0, 3.0], [99.0] * 3) in strength
    assert ("y2", "", [1.0, 2.0, 3.0], [9.0, 8.0, 9.0]) in strength
    assert ("y2", "chosen", [2.0], [8.0]) in strength and ("y", "chosen", [2.0], [99.0]) in strength
    assert ("y2", "floor", [1.0, 3.0], [2.0, 2.0]) in strength
    assert ("y2", "chosen", ["0.1–0.8"], [7.0]) in drawn(figures[1])
    bars = json.loads(figures[0].spec)["data"][0]["error_y"]["array"]
    assert bars == pytest.approx([0.4] * 3) and "lowest distance, 8, is at 2" in figures[0].alt


def test_each_sampler_has_a_line_over_network_evaluations(tmp_path):
    lines = {
        name: (x, y) for panel, name, x, y in drawn(sweep_figures("ours", write_sweep(tmp_path))[2]) if panel == "y2"
    }
    assert lines["dpm++2m"] == ([10.0, 20.0, 40.0], [8.5, 7.5, 7.0])
    assert lines["dpm++3m"] == lines["chosen"] == ([20.0], [6.0]) and lines["ddim"] == ([20.0], [7.0])


def test_a_setting_that_was_measured_again_is_drawn_once(tmp_path):
    sweep = write_sweep(tmp_path)
    again = next(row for row in sweep["rows"] if row["axis"] == "guidance")
    sweep["rows"].append({**again, "frechet": 20.0})
    assert ("y2", "", [1.0, 2.0, 3.0], [9.0, 8.0, 20.0]) in drawn(sweep_figures("ours", sweep)[0])


def test_without_classes_there_is_one_panel(tmp_path):
    figures = sweep_figures("ours", write_sweep(tmp_path, told=False))
    assert len(figures) == 3 and all({panel for panel, *_ in drawn(figure)} == {"y"} for figure in figures)


def test_a_sweep_that_was_stopped_says_so_and_marks_nothing(tmp_path):
    folder = write_diffusion(tmp_path)
    sweep = write_sweep(folder, finished=False)
    assert all(name != "chosen" for figure in sweep_figures("ours", sweep) for _, name, _, _ in drawn(figure))
    said = [block.text for block in blocks([folder], "prose")]
    assert any("500 pictures a setting beside 5,000 training pictures of mnistm" in text for text in said)
    assert any(text.endswith("The sweep was not finished: the same command continues it.") for text in said)
    assert sweep_figures("ours", {"rows": []}) == []


def test_a_sweep_of_an_earlier_state_says_so(tmp_path):
    folder = write_diffusion(tmp_path)
    write_sweep(folder)
    patch_json(folder / "sweep.json", lambda s: s.update(images=32_000))
    said = " ".join(block.text for block in blocks([folder], "prose"))
    assert "It was of the state after 32,000 images, and the run now stands at 64,000." in said


def skips_of(folder, rights, seconds):
    """As `genshift sweep --skips` leaves them."""
    rows = [
        {"skip": skip, "sampling": {"sampler": "ddpm", "steps": 1000, "guide": "unconditional", "guidance": 3.0,
         "guidance_from": 0.0, "guidance_to": 1.0, "skip": skip}, "accuracy": right, "accuracy_error": 0.05, "n": 100,
         "evaluations": 2000 - 1000 * skip, "seconds_per_image": second, "frechet": 8.0, "floor": 2.0,
         "frechet_n": 1000, "frechet_steps": 100}
        for skip, right, second in zip((1.0, 0.5, 0.0), rights, seconds, strict=True)
    ]  # fmt: skip
    table = {"images": 64_000, "features": "digits-classifier, seed 7", "count": 100, "protocol": "so", "rows": rows}
    write_sweep(folder)
    patch_json(folder / "sweep.json", lambda s: s.update(skips=table))


def test_the_claim_of_leaving_guidance_out_stands_beside_what_was_measured(tmp_path):
    folder = write_diffusion(tmp_path, "hw2-diffusion")
    skips_of(folder, (0.4, 0.7, 0.9), (9.0, 13.5, 18.0))
    tables = blocks([folder], "table")
    (table,) = [table for table in tables if table.head[0] == "guidance left out in"]
    ((_, rows),) = table.bodies
    texts = [[cell.text for cell in row] for row in rows]
    assert texts[0][:6] == ["0% of the steps", "90.00", "82.6 to 94.5", "2,000", "18", "300"]
    assert [row[0] for row in texts] == ["0% of the steps", "50% of the steps", "100% of the steps"]
    said = [block.text for block in blocks([folder], "prose")]
    (verdict,) = [text for text in said if "would take" in text]
    assert "1,000 digits would take 300 minutes here, 20 times the 15 allowed; in 100%, 150 minutes." in verdict
    assert "Right class is 50.0 points higher at 0% than at 100%, beyond noise." in verdict
    skips_of(folder, (0.88, 0.9, 0.9), (9.0, 13.5, 18.0))
    assert "within noise" in " ".join(block.text for block in blocks([folder], "prose"))


def test_settings_are_those_that_the_table_was_drawn_with(tmp_path):
    """Guidance 3.0 stood under a table that was drawn with 1.25."""
    folder = write_diffusion(tmp_path, "faces-diffusion")
    patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(guidance=3.0, steps=12, clip="off"))
    patch_json(folder / "evaluation.json", lambda e: e.update(sampling={"guidance": 1.25, "steps": 12, "clip": "off"}))
    (every,) = next(
        folded for folded in blocks([folder], "folded") if folded.summary.startswith("Every setting")
    ).blocks
    rows = {row[0].text: row[1] for _, body in every.bodies for row in body}
    assert (rows["guidance"].text, rows["guidance"].badge) == ("1.25 as measured (3.0 preset)", "yours")
    assert rows["steps"].text == "12" and rows["clip"].text == "off"


def test_clipping_has_a_figure_where_it_was_swept(tmp_path):
    sweep = write_sweep(tmp_path)
    first = sweep["rows"][0]
    for clip, distance in (("off", 9.0), ("on", 5.0)):
        how = {**first["sampling"], "clip": clip}
        sweep["rows"].append({**first, "axis": "clip", "setting": clip, "sampling": how, "frechet": distance})
    (figure,) = [figure for figure in sweep_figures("ours", sweep) if figure.title == "ours: clipping"]
    assert ("y2", "", ["off", "on"], [9.0, 5.0]) in drawn(figure)
