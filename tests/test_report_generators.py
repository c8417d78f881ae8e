"""GANs and VAEs in the page, the console and results.md: their measures, labels, pictures and figures."""

import base64
import json
import re

import browser
import pytest
from report_fixtures import patch_json, write_json, write_lines, write_run
from report_pictures import stage, write_classifier, write_diffusion, write_gan, write_vae

from genshift.cli.listing import show_text
from genshift.errors import Refusal
from genshift.report.console import compare_table, format_table
from genshift.report.contents import subject_sections
from genshift.report.figures import generators as figures
from genshift.report.figures.pictures import kind_and_size
from genshift.report.model.comparison import comparison
from genshift.report.model.grouping import group_runs
from genshift.report.model.measures import best, shown, shown_published, worse
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.page import write_page
from genshift.report.parts import PAGE
from genshift.report.results_md import write_results
from genshift.report.sections import adaptation, generators
from genshift.runs.find import find_runs

PICTURES = """[...document.querySelectorAll('main img')].map(i => ({
    natural: [i.naturalWidth, i.naturalHeight], wide: i.clientWidth, alt: i.alt,
    rendering: getComputedStyle(i).imageRendering}))"""
ABLATION = ({"spectral_norm": "off"}, {"gradient_penalty": 0.0}, {"spectral_norm": "off", "gradient_penalty": 0.0})


def sections(folders):
    return subject_sections(page_model(read_runs(folders)), PAGE)


def write_ablation(root):
    """hw2-gan-b as it is, and with either or both of its constraints taken away."""
    folders = [write_gan(root, "hw2-gan-b", seed, **options) for options in ({}, *ABLATION) for seed in (0, 1)]
    for folder in folders:
        own = json.loads((folder / "config.json").read_text())["preset"]["origins"]
        plain = {"spectral_norm": "on", "gradient_penalty": 10.0}
        kept = {key: value for key, value in plain.items() if own.get(key) != "yours"}
        patch_json(folder / "config.json", lambda c, kept=kept: c["preset"]["fields"].update(kept))
    return folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    gans = [write_gan(root, "hw2-gan-a", seed, {"frechet": 24.0 + seed}) for seed in (0, 1)]
    gans.append(write_gan(root, "faces-gan", 0, {"frechet": 12.0}))
    return [*gans, write_vae(root), write_classifier(root)]


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    return write_page(folders, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as opened:
        yield opened


# --- the page in a browser --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [browser.DESKTOP, browser.PHONE])
def test_pictures_and_figures_are_there_and_nothing_overflows(chromium, page, size):
    with browser.opened(chromium, page, size) as seen:
        pictures = seen.page.evaluate(PICTURES)
        widths = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        plots = seen.page.evaluate(
            "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('path').length)"
        )
    assert seen.complaints == [] and widths[0] <= widths[1]
    assert len(pictures) == 3 * 3 + 3 * 3  # three pictures and three snapshots of each of three presets
    assert all(min(p["natural"]) > 0 and p["alt"] and 0 < p["wide"] <= widths[1] for p in pictures), pictures
    assert {p["wide"] for p in pictures if p["natural"][0] < 150} == {2 * 146}
    assert all(p["rendering"] == "pixelated" for p in pictures)
    assert len(plots) == 2 + 2 + 1 + 3 + 1 and min(plots) > 0


def test_the_table_says_what_is_best_what_was_published_and_what_the_floor_is(chromium, page):
    with browser.opened(chromium, page) as seen:
        tables = seen.page.locator("table")
        text = tables.first.inner_text()
        assert tables.first.locator("td.best").first.inner_text() == "12.00 ± 0.24"
        assert "24.50 ± 0.71" in text and "published 28" in text and "published 91" in text and "floor" in text
        body, folded = seen.page.inner_text("main"), seen.page.text_content("main")
    assert "faces-gan has the lowest Fréchet, 12.00 ± 0.24, 51% below hw2-gan-a; the floor is 0.8." in body
    assert "face rate: the share of pictures in which dlib's detector finds a face; higher is better." in folded
    assert "errors from 0.008 to 0.020, their mean is 0.0132" in body and "0.0170" in body
    assert "discriminator won" in body and "89.30 ± 1.79" in body and "24500" not in body


def test_the_page_stays_one_strict_file(page):
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text and "img-src data:" in text
    sources = re.findall(r'<img src="([^"]{0,40})', text)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)


def test_a_picture_is_embedded_byte_for_byte(folders, page):
    png = (folders[0] / "samples" / "grid.png").read_bytes()
    assert base64.b64encode(png).decode() in page.read_text(encoding="utf-8")
    assert kind_and_size(png) == ("PNG", (146, 74))


def test_a_missing_broken_or_foreign_picture_is_a_sentence(chromium, tmp_path):
    folder, outside = write_gan(tmp_path / "runs"), tmp_path / "secret.png"
    outside.write_bytes((folder / "samples" / "grid.png").read_bytes())
    (folder / "samples" / "grid.png").unlink()
    (folder / "samples" / "interpolation.png").write_text("<svg onload=alert(1)>")
    bad = {"file": "../../secret.png", "title": "<img src=x>", "caption": "</script><b>"}
    patch_json(folder / "evaluation.json", lambda e: e["pictures"].append(bad))
    with browser.opened(chromium, write_page([folder], tmp_path / "page.html")) as seen:
        text = seen.page.inner_text("main")
        assert seen.page.locator("main img").count() == 1 + 3
    assert seen.complaints == []
    assert "samples/grid.png is not there: evaluate the run again." in text and "<img src=x>" in text
    assert "samples/interpolation.png is no PNG, WebP or GIF" in text and "secret.png is not there" in text


def test_a_generator_that_has_just_begun_has_a_page(tmp_path):
    folder = write_gan(tmp_path)
    for name in ("evaluation.json", "results.json", "metrics.jsonl"):
        (folder / name).unlink()
    text = write_page([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "not evaluated yet" in text and "published 28" in text


# --- sections, labels and figures -------------------------------------------------------------------------------------


def test_generators_of_one_data_set_stand_in_one_section_of_their_kind(folders):
    assert [section.title for section in sections(folders)] == [
        "faces and hw2: GANs of celeba",
        "hw3: VAEs of celeba",
        "faces: faces-attributes",
    ]


def test_variants_of_a_preset_are_labelled_by_what_was_changed(tmp_path):
    groups = group_runs(read_runs(write_ablation(tmp_path)))
    assert [group.label for group in groups] == [
        "hw2-gan-b",
        "hw2-gan-b, gradient_penalty 0",
        "hw2-gan-b, spectral_norm off",
        "hw2-gan-b, spectral_norm off, gradient_penalty 0",
    ]
    assert [[run.seed for run in group.runs] for group in groups] == [[0, 1]] * 4


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda c: c.update(images=32_000), "hw2-gan-a, 32,000 images"),
        (lambda c: c["data"]["data"].update(fingerprint="ffffffff0000"), "hw2-gan-a, data ffffffff"),
        (lambda c: c["preset"]["fields"].update(lr=2e-4), "hw2-gan-a, lr 0.0002"),
    ],
)
def test_other_budgets_data_and_settings_are_no_seeds_of_one_row(tmp_path, change, said):
    folders = [write_gan(tmp_path, seed=seed) for seed in range(2)]
    patch_json(folders[1] / "config.json", change)
    assert [row["label"] for row in compare_table(folders) if row["metric"] == "frechet"][1] == said


def test_a_variant_is_not_held_against_the_published_figure(tmp_path):
    plain, changed = (write_gan(tmp_path, **options) for options in ({}, {"lr": 1e-3}))
    published = {
        row.label: row.published for row in page_model(read_runs([plain, changed])).rows if row.metric == "face_rate"
    }
    assert published == {"hw2-gan-a": 0.91, "hw2-gan-a, lr 0.001": None}


def test_losses_of_all_runs_share_one_time_axis_and_alarms_are_crosses(tmp_path):
    folders = [write_gan(tmp_path, seed=seed) for seed in range(2)]
    write_lines(folders[1] / "metrics.jsonl", [{"images": 100_000, "train/loss_d": 1.0, "train/told_apart": 0.5}])
    drawn = [("A", "B"), read_runs(folders)]
    specs = [json.loads(figure.spec) for figure in figures.loss_curves(list(zip(*drawn, strict=True)))]
    assert [spec["layout"]["xaxis"]["range"] for spec in specs] == [[0, 100_000]] * 2
    names = [trace["name"] for trace in specs[0]["data"]]
    assert names == ["discriminator (D)", "generator (G)", "alarm: discriminator won"]
    assert len(specs[0]["data"][1]["x"]) == 39  # one reading held no step of the generator
    crosses = specs[0]["data"][2]
    assert crosses["mode"] == "markers" and crosses["x"] == [1_600 * step for step in range(10, 20)]
    assert "alarms: discriminator won" in figures.loss_curves(list(zip(*drawn, strict=True)))[0].alt


def test_a_collapse_is_marked_on_the_spread(tmp_path):
    folder = write_gan(tmp_path)
    row = {"images": 640, "train/told_apart": 0.9, "train/spread": 0.1, "alarms": ["generator collapsed"]}
    write_lines(folder / "metrics.jsonl", [row])
    (figure,) = figures.contest_curves([("A", read_runs([folder])[0])])
    assert json.loads(figure.spec)["data"][2]["y"] == [0.1]


def test_alarms_of_a_run_that_still_trains_are_listed(tmp_path):
    folder = write_gan(tmp_path)
    (folder / "evaluation.json").unlink()
    (section,) = sections([folder])
    (notes,) = [block for block in section.blocks if block.kind == "notes"]
    assert notes.lines == ["hw2-gan-a, seed 0: discriminator won, between 16,000 and 30,400 images."]


def test_an_alarm_that_the_evaluator_names_is_listed_once(tmp_path):
    folder = write_gan(tmp_path)
    patch_json(folder / "evaluation.json", lambda e: e["warnings"].append("Discriminator won: so it stood."))
    (section,) = sections([folder])
    (notes,) = [block for block in section.blocks if block.kind == "notes"]
    assert notes.lines == ["hw2-gan-a, seed 0: Discriminator won: so it stood."]


def test_a_vae_shows_its_error_its_kl_and_its_weight_on_one_axis(tmp_path):
    figure = figures.term_curves("hw3-vae", read_runs([write_vae(tmp_path)])[0])
    spec = json.loads(figure.spec)
    assert [trace["name"] for trace in spec["data"]] == ["reconstruction MSE", "KL", "λ, weight of KL"]
    assert (
        spec["layout"]["yaxis3"]["type"] == "log"
        and figures.term_curves("", read_runs([write_gan(tmp_path)])[0]) is None
    )


def test_stages_of_the_latent_space_are_named_and_coloured_by_the_attribute(tmp_path):
    folder = write_vae(tmp_path)
    drawn = figures.stages("hw3-vae", read_runs([folder])[0])
    assert [figure.title for figure in drawn] == [
        "hw3-vae, early, 6,400 images", "hw3-vae, middle, 32,000 images", "hw3-vae, final, 64,000 images"
    ]  # fmt: skip
    assert [name for name, _ in drawn[0].legend] == ["Male", "not Male"]
    kept = stage(6_400)
    male = json.loads(drawn[0].spec)["data"][0]
    assert male["x"] == [round(x, 2) for x, label in zip(kept["x"], kept["label"], strict=True) if label == 1]
    patch_json(folder / "evaluation.json", lambda e: e["stages"][0]["x"].pop())
    with pytest.raises(Refusal, match="unlike lengths"):
        figures.stages("hw3-vae", read_runs([folder])[0])


def test_printed_networks_say_that_their_layers_are_normalised(tmp_path):
    (section,) = sections([write_gan(tmp_path, spectral_norm="on")])
    said = [block.summary for block in section.blocks if block.kind == "printed" and "parameters" in block.summary]
    assert ["spectral normalisation on every layer" in line for line in said] == [False, True]


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_units_directions_and_the_best():
    assert (shown("frechet", 24.0), shown("face_rate", 0.853), shown("attribute_accuracy", 0.9)) == (
        "24",
        "85.30",
        "90.00",
    )
    assert (shown_published("fid", 28.0), shown_published("face_rate", 0.91)) == ("28", "91%")
    assert shown_published("target_accuracy", 0.4874) == "48.74%"
    assert best("frechet", {0: 3.0, 1: 2.0, 2: 2.0}, 1.0) == {1, 2} and best("recall", {0: 0.3, 1: 0.4}, None) == {1}
    assert (
        best("sharpness", {0: 0.01, 1: 0.03, 2: 0.05}, 0.025) == {1}
        and best("sharpness", {0: 1.0, 1: 2.0}, None) == set()
    )
    assert best("nearest_train", {0: 0.9, 1: 1.0}, 1.0) == set() and best("frechet", {0: 1.0}, 1.0) == set()
    assert worse("fid", 29.0, 28.0) and not worse("fid", 27.0, 28.0) and worse("face_rate", 0.9, 0.91)


def test_runs_that_were_not_measured_alike_have_no_best(tmp_path):
    folders = [write_gan(tmp_path, name, 0, {"frechet": v}) for name, v in (("hw2-gan-a", 20.0), ("hw3-gan", 10.0))]
    compared = comparison(group_runs(read_runs(folders)))
    assert compared.best("frechet") == {1}
    patch_json(folders[1] / "results.json", lambda r: r["frechet"].update(protocol="another judge"))
    compared = comparison(group_runs(read_runs(folders)))
    assert compared.best("frechet") == set() and "not all were measured alike" in dict(compared.terms())["Fréchet"]
    assert "hw3-gan: another judge." in dict(compared.measured())["Fréchet"]


def test_compare_prints_measures_below_one_another_with_floors_and_protocols(folders, tmp_path):
    rows = compare_table([*folders, write_run(tmp_path, "hw2", "mnistm→svhn", "dann", 0, 0.5)])
    assert json.loads(json.dumps(rows)) == rows and rows[0]["metric"] == "oracle/target_test_accuracy"
    text = format_table(rows)
    line = next(line for line in text.splitlines() if "Fréchet" in line and "hw2-gan-a" in line)
    assert line.split("  ")[-1].strip() == "11.6" and "24.50 ± 0.71" in line and "0.8" in line and "2 (0, 1)" in line
    assert "50.00 ± 1.58 (se)" in text and "face rate, %" in text and "85.00 ± 1.70 (se)" in text
    assert "Fréchet: squared Fréchet distance in the 256 features" in text and "%" not in line


def test_warnings_name_the_variant(tmp_path):
    folder = write_gan(tmp_path, gradient_penalty=5.0)
    patch_json(folder / "evaluation.json", lambda e: e["warnings"].append("Few faces."))
    assert page_model(read_runs([folder])).cautions == ("hw2-gan-a, gradient_penalty 5, seed 0: Few faces.",)


# --- results.md and the terminal --------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """docs/results/faces/ with generators, a classifier and an adaptation run beside one another."""
    root = tmp_path / "kept" / "faces"
    written = [write_gan(root, seed=seed, values={"frechet": 24.0 + seed, "fid": 41.0}) for seed in (0, 1)]
    written += [
        write_gan(root, "faces-gan", 0, {"frechet": 12.0, "fid": 20.0}),
        write_vae(root),
        write_classifier(root),
    ]
    written.append(write_run(root, "hw2", "mnistm→svhn", "dann", 0, 0.5))
    for folder in written:
        for path in folder.rglob("*"):
            if path.is_file() and path.name not in ("config.json", "results.json"):
                path.unlink()
    return root.parent


def test_results_md_has_a_table_of_each_kind(kept, tmp_path):
    text = write_results(kept, tmp_path / "results.md").read_text()
    assert all(f"### {title}\n" in text for title in ("mnistm→svhn", "GANs of celeba", "VAEs of celeba"))
    head = "| preset | seeds | images seen | CPU min | Fréchet | precision | recall | FID | face rate, % | sharpness |"
    assert f"{head} nearest in training |" in text
    assert "| 11.6 | 24.50 ± 0.71 | 0.6 ± 0 | 0.4 ± 0 | 41 ± 0 | 85.00 ± 0.00 |" in text
    assert "| hw2-gan-a, published | – | – | – | – | – | – | 28 | 91 |" in text
    assert "| 1 (0) | 64,000 | 11.6 | **12.00 ± 0.24** |" in text
    assert "| floor | – | – | – | 0.8 | 0.81 | 0.8 | – | 95.00 | 0.02 | 1 |" in text
    assert "- Fréchet, measured: squared Fréchet distance in the 256 features" in text
    assert "| faces-attributes | 1 (0) | 64,000 | 11.6 | 89.30 ± 1.79 |" in text
    assert "| DANN | 50.00 ± 1.58 (se) |" in text and "00 %" not in text.split("### What fell short")[0]
    assert text == write_results(kept, tmp_path / "again.md").read_text()


def test_the_page_and_results_md_have_the_same_sections_in_one_order(kept, tmp_path):
    model = page_model(read_runs(find_runs([kept])))
    page = [section.title.partition(": ")[2] for section in subject_sections(model, PAGE)]
    text = write_results(kept, tmp_path / "results.md").read_text()
    recorded = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    assert page == ["mnistm→svhn", "GANs of celeba", "VAEs of celeba", "faces-attributes"]
    assert recorded == [*page[:3], "celeba: faces-attributes", "Data", "What fell short"]


def test_results_md_says_what_fell_short_by_the_presets_name(kept, tmp_path):
    (kept / "faces" / "notes.md").write_text("## hw2-gan-a\nA tenth of\nthe budget.\n\n## celeba vae\nBlurry.\n")
    text = write_results(kept, tmp_path / "results.md").read_text()
    assert "- celeba, hw2-gan-a: FID 41, above the published 28. A tenth of the budget." in text
    assert "- celeba, hw2-gan-a: face rate 85.00 %, below the published 91.00 %. A tenth of the budget." in text
    assert "- celeba, hw3-vae: reconstruction MSE 0.0141, above the published 0.0132. Blurry." in text


def test_nothing_short_is_said_of_generators_in_their_own_words(tmp_path):
    folder = write_gan(tmp_path / "kept" / "faces", "faces-gan")
    text = write_results(folder.parent.parent, tmp_path / "results.md").read_text()
    assert "Nothing: no row is worse than its published figure.\n" in text
    assert page_model(read_runs([folder])).shortfalls == ()


def test_show_prints_published_values_groups_and_the_normalisation():
    network = {"printed": "Net()", "parameters": 1_000}
    options = {
        "data": ("celeba", "ours"), "width": (64, "ours"), "lr": (1e-4, "ours"), "spectral_norm": ("on", "published")
    }  # fmt: skip
    shown = {
        "name": "hw2-gan-b", "summary": "a GAN", "gflop_per_image_forward": 1.5,
        "options": {name: {"value": value, "origin": origin} for name, (value, origin) in options.items()},
        "published": {"fid": 28.0, "face_rate": 0.91, "reconstruction_mse": 0.0132},
        "networks": {"Generator": network, "Discriminator": network},
    }  # fmt: skip
    text = show_text(shown)
    assert all(f"published {said}\n" in text for said in ("fid: 28", "face_rate: 91%", "reconstruction_mse: 0.0132"))
    assert [line for line in text.splitlines() if line in ("Data", "Networks", "Training", "Method")] == [
        "Data", "Networks", "Training", "Method"
    ]  # fmt: skip
    assert "spectral normalisation on every layer of the Discriminator" in text
    shown["options"]["spectral_norm"]["value"] = "off"
    assert "every layer" not in show_text(shown)


def test_older_records_without_a_family_are_adaptation(tmp_path):
    folder = write_run(tmp_path, "hw2", "mnistm→svhn", "dann", 0, 0.5)
    (run,) = read_runs([folder])
    assert run.of_adaptation and not run.draws
    write_json(folder / "results.json", {})
    assert read_runs([write_gan(tmp_path)])[0].draws


# --- families beside each other, and what a VAE's claims come to ------------------------------------------------------


def set_results(folder, **measures):
    patch_json(folder / "results.json", lambda r: r.update(measures))


def of(value, n=1_000, protocol="p", **others):
    return {"value": value, "std": 0.1, "n": n, "protocol": protocol, **others}


def table_of(blocks):
    (table,) = (block for block in blocks if block.kind == "table")
    (_, rows), *_ = table.bodies
    return table.head, [[cell.text for cell in row] for row in rows], rows


def test_families_of_the_same_pictures_stand_in_one_table_at_equal_counts(tmp_path):
    gan, vae = write_gan(tmp_path), write_vae(tmp_path)
    diffusion = write_diffusion(tmp_path, "faces-diffusion")
    patch_json(diffusion / "config.json", lambda c: c["preset"].update(task="celeba"))
    # The GAN and the VAE drew 2,250 pictures, of which 1,000 are measured too; the diffusion model no more than 1,000.
    set_results(gan, frechet=of(20.0, 2_250), frechet_1000=of(24.0, floor=2.0), seconds_per_image=of(0.01, 6_750))
    set_results(vae, frechet=of(50.0, 2_250), frechet_1000=of(54.0, floor=2.0), face_rate=of(0.9))
    set_results(diffusion, frechet=of(10.0, floor=2.0), seconds_per_image=of(0.5, 3_000))
    model = page_model(read_runs([gan, vae, diffusion]))
    head, texts, rows = table_of(generators.families(model))
    assert head[:3] == ["", "family", "Fréchet"]
    assert [(text[0], text[1], text[2].partition(" ")[0]) for text in texts] == [
        ("hw2-gan-a", "GAN", "24.00"), ("hw3-vae", "VAE", "54.00"), ("faces-diffusion", "Diffusion model", "10.00"),
    ]  # fmt: skip
    assert [row[2].tone for row in rows] == ["", "", "best"], "at one count, under one protocol"
    assert texts[1][head.index("seconds a picture")] == "–", "what was not measured is not guessed"
    # Where counts differ, none is best and the note says so.
    patch_json(vae / "results.json", lambda r: r.pop("frechet_1000"))
    blocks = generators.families(page_model(read_runs([gan, vae, diffusion])))
    assert [row[2].tone for row in table_of(blocks)[2]] == ["", "", ""]
    terms = dict(blocks[-1].terms)
    assert "n = 1,000 and 2,250" in terms["Fréchet"] and "none is marked best" in terms["Fréchet"]
    assert generators.families(page_model(read_runs([gan]))) == [], "of one family its own section tells"
    assert "Families of generators" in write_page([gan, vae, diffusion], tmp_path / "page.html").read_text("utf-8")


def test_a_vaes_latent_stages_and_changed_attributes_have_tables(tmp_path):
    vae = write_vae(tmp_path)
    stages = {f"latent_probe/{stage}": of(value, 500, floor=0.6) for stage, value in (("first", 0.9), ("last", 0.7))}
    set_results(vae, **stages, **{"latent_kl_with/last": {**of(3.0, 200, floor=0.5), "std": None}})
    rows = [{"attribute": name, "n": 500, "flipped": share, "error": 0.01, "judge_errs": 0.05}
            for name, share in (("Male", 0.1), ("No_Beard", 0.3))]  # fmt: skip
    patch_json(vae / "evaluation.json", lambda e: e.update(attribute_changes=rows))
    (subject,) = page_model(read_runs([vae])).subjects
    _, texts, _ = table_of(generators.latent_space(subject)[3:])
    assert texts == [["first check", "90.00 ± 10.00", "–", "–"], ["last check", "70.00 ± 10.00", "3", "–"]]
    assert not {name for name in subject.comparison.metrics if "/" in name}, "and no columns among the others"
    _, texts, _ = table_of(generators.attribute_changes(subject))
    assert texts == [["No Beard", "30.00 ± 1.00", "5.00", "500"], ["Male", "10.00 ± 1.00", "5.00", "500"]]


def test_how_far_domains_are_mixed_has_a_table_by_method(tmp_path):
    folders = [write_run(tmp_path, "own", "a→b", role, 0, 0.5) for role in ("source", "dann")]
    (subject,) = page_model(read_runs(folders)).subjects
    assert adaptation.probes(subject) == [], "older runs say nothing"
    entries = {"domain_probe_accuracy": of(0.62, 2_000, floor=0.5), "oracle/class_probe_accuracy": of(0.8)}
    patch_json(folders[1] / "results.json", lambda r: r.update(entries))
    (subject,) = page_model(read_runs(folders)).subjects
    _, texts, _ = table_of(adaptation.probes(subject))
    assert texts == [["DANN", "62.00 ± 10.00 (se)", "80.00 ± 10.00 (se)", "50.00 ± 1.58 (se)", "1 (0)"]]


def test_seeds_of_a_gan_that_failed_are_named_beside_the_spread_of_its_loss(tmp_path):
    folders = [write_gan(tmp_path, seed=seed) for seed in (0, 1, 2)]
    for folder, spread in zip(folders, (0.2, 0.4, 0.6), strict=True):
        set_results(folder, discriminator_loss_spread=of(spread, 100), alarmed=of(0.1, 100))
    write_lines(folders[0] / "metrics.jsonl", [{"images": 64, "train/loss_d": 0.5}])
    write_lines(folders[1] / "metrics.jsonl", [{"images": 64, "train/loss_d": 0.0, "alarms": ["generator collapsed"]}])
    write_lines(folders[2] / "metrics.jsonl", [{"images": 64, "train/loss_d": 0.5}])
    for name in ("results.json", "evaluation.json"):  # its loss became NaN
        (folders[2] / name).unlink()
    rows = [{"images": images, "n": 32, "face_rate": 0.5, "kernel_distance": 2.0} for images in (64, 128)]
    patch_json(folders[0] / "evaluation.json", lambda e: e.update(over_training=rows))
    (subject,) = page_model(read_runs(folders)).subjects
    _, texts, _ = table_of(generators.stability(subject))
    assert texts == [["hw2-gan-a", "0.30 ± 0.14", "10.00 ± 0.00", "seed 1", "seed 2", "3"]]
    drawn = figures.check_curves([("A", subject.first)])
    assert [figure.title for figure in drawn] == ["face rate of the grids", "kernel distance of the grids"]
    assert json.loads(drawn[1].spec)["data"][0]["y"] == [2.0, 2.0]


def test_addas_flow_is_drawn_where_it_was_trained_alone(tmp_path):
    folders = [write_run(tmp_path, "own", "a→b", role, 0, 0.5) for role in ("dann", "adda")]
    (subject,) = page_model(read_runs(folders)).subjects
    _, block = adaptation.flow(subject)
    (drawing,) = block.figures
    drawn = json.loads(drawing.spec)["layout"]
    assert "frozen" in drawing.alt and len(drawn["shapes"]) == 4 + 6 + 4
    assert sum(note.get("showarrow", False) for note in drawn["annotations"]) == 3 + 5 + 3
    (subject,) = page_model(read_runs(folders[:1])).subjects
    assert adaptation.flow(subject) == []


def test_what_is_got_wrong_by_blur_and_neighbours_has_a_table(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    rows = [{"third": title, "n": 30, "accuracy": share, "error": 0.05}
            for title, share in (("most blurred", 0.4), ("sharpest", 0.6))]  # fmt: skip
    patch_json(folder / "evaluation.json", lambda e: e.update(difficulty=rows))
    (subject,) = page_model(read_runs([folder])).subjects
    head, texts, _ = table_of(adaptation.difficulty(subject))
    assert head == ["", "most blurred", "sharpest"] and texts == [["DANN", "40.00 ± 5.00", "60.00 ± 5.00"]]
