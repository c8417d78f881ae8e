"""Records of runs: they give the page that the runs give, hold no picture that may not be passed on, and stay small."""

import base64
import json
import re
import shutil
from dataclasses import fields, is_dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import browser
import faces_tiny
import pytest
import tiny
from PIL import Image
from report_fixtures import patch_json, write_lines, write_run
from report_pictures import write_diffusion, write_gan, write_sweep, write_vae
from test_report_page import PLOTS

import genshift
from genshift import api
from genshift.cli import main
from genshift.data.catalog import CATALOG
from genshift.errors import Refusal
from genshift.report.blocks import Picture
from genshift.report.contents import OVERVIEW, PAGE, blocks_of, closing_sections, subject_sections
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.page import write_page
from genshift.report.real_pictures import HIDDEN
from genshift.report.record import record, thinned
from genshift.runs.find import find_runs

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PLOTLY_BYTES = 4_000_000


def said(block):
    """A block as far as two pages must agree: of a picture all but its bytes."""
    if isinstance(block, Picture) and block.data and block.size != (132, 132):  # thumbnails are drawn by the page
        return block.title, block.caption, block.alt, block.size, tuple(block.under)
    if is_dataclass(block):
        return [said(getattr(block, part.name)) for part in fields(block)]
    return [said(part) for part in block] if isinstance(block, list | tuple) else block


def page_of(folder):
    model = page_model(read_runs(find_runs(folder)))
    sections = [*subject_sections(model, PAGE), *closing_sections(model, PAGE)]
    return said([blocks_of(OVERVIEW, model, PAGE), *sections])


def sheet(path):
    with Image.open(path) as opened:
        return opened.convert("RGB")


def cells(picture, side=faces_tiny.SIDE):
    pitch = side + 2
    corners = [(x, y) for y in range(2, picture.height - side, pitch) for x in range(2, picture.width - side, pitch)]
    return [picture.crop((x, y, x + side, y + side)) for x, y in corners]


def grey(cell):
    return all(abs(value - HIDDEN) <= 24 for band in cell.getextrema() for value in band)


# --- what a page shows ------------------------------------------------------------------------------------------------


def test_the_page_of_a_record_is_the_page_of_its_runs(tmp_path):
    runs, small = tmp_path / "runs", {"data": "mnist", "size": 16}  # whose real pictures may be kept
    for seed in (0, 1):
        for role, accuracy in (("source", 0.6), ("dann", 0.7), ("target", 0.9)):
            write_run(runs, "hw2", "mnistm→usps", role, seed, accuracy)
        write_gan(runs, seed=seed, **small)
    write_vae(runs, **small)
    write_sweep(write_diffusion(runs, **small))
    kept = record(find_runs(runs), tmp_path / "kept")
    assert page_of(runs) == page_of(kept)
    # Smaller, and nothing else than what is shown.
    names = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert {name.rpartition(".")[2] for name in names} == {"json", "jsonl", "webp"}
    assert "hw2-gan-a-data-mnist-size-16-seed0/samples/grid.webp" in names and not any(
        "seed1/samples" in name for name in names
    )
    # The strip and the film of the reverse process have one stem, and two files.
    diffusion = kept / "digits-diffusion-data-mnist-size-16-seed0"
    files = [entry["file"] for entry in json.loads((diffusion / "evaluation.json").read_text())["pictures"]]
    assert len(set(files)) == len(files) == 4 and {"samples/reverse.webp", "samples/reverse-moving.webp"} <= set(files)
    with Image.open(diffusion / files[-1]) as film:
        assert film.n_frames == 3
    # A record of the record is the same.
    again = record(find_runs(kept), tmp_path / "again")
    for name in names:
        assert (again / name).read_bytes() == (kept / name).read_bytes(), name


def test_a_seed_whose_pictures_were_not_kept_says_so(tmp_path):
    runs = [write_gan(tmp_path / "runs", seed=seed) for seed in (0, 1)]
    kept = record(runs, tmp_path / "kept")
    text = str(page_of(kept / "hw2-gan-a-seed1"))
    assert "hw2-gan-a, seed 1: the record has no pictures, snapshots of it, but those of seed 0." in text
    assert "but those of seed" not in str(page_of(kept))


def test_curves_are_thinned_with_their_ends_checks_and_alarms():
    rows = [{"images": 10 * k, "train/loss": 1 / (3 + k), "seconds": k + 0.123456} for k in range(1, 1_001)]
    checks = [{"images": 500 * k, "valid/source_accuracy": 0.123456789} for k in range(1, 21)]
    for place in (300, 301, 302, 888):
        rows[place]["alarms"] = ["D won"]
    kept = thinned(sorted(rows + checks, key=lambda row: row["images"]))
    assert len(kept) <= 200 + 20 + 4 and next(row for row in kept if "valid/source_accuracy" in row) == {
        "images": 500, "valid/source_accuracy": 0.12346
    }  # fmt: skip
    assert sum("valid/source_accuracy" in row for row in kept) == 20
    trained = [row["images"] for row in kept if "train/loss" in row]
    assert trained[0] == 10 and trained[-1] == 10_000 and max(b - a for a, b in pairwise(trained)) <= 120
    alarmed = [row["images"] for row in kept if "alarms" in row]
    assert alarmed[0] == 3_010 and alarmed[-1] == 8_890


def test_a_small_picture_is_kept_without_loss_where_that_is_smaller(tmp_path):
    folder = write_gan(tmp_path / "runs")
    Image.new("L", (146, 74), 7).save(folder / "samples" / "grid.png")
    kept = record([folder], tmp_path / "kept")
    assert sheet(kept / folder.name / "samples" / "grid.webp").getextrema() == ((7, 7),) * 3


# --- real pictures ----------------------------------------------------------------------------------------------------


def test_only_sets_whose_terms_allow_it_are_passed_on():
    assert {name for name, data in CATALOG.items() if data.redistributable} == {"mnist", "usps", "uci", "uci-m"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A VAE of a user's own pictures, evaluated."""
    return faces_tiny.Studio(tmp_path_factory.mktemp("studio"))


def pictures_of(folder, root=None):
    """The sheets as a page shows them, by title."""
    page = genshift.report(folder, folder.parent / "page.html", data_root=root).read_text(encoding="utf-8")
    found = {}
    for part in page.split("<h3>")[1:]:
        if data := re.search('<img src="data:image/[a-z]+;base64,([^"]+)"', part):
            found[part.partition("<")[0]] = Image.open(BytesIO(base64.b64decode(data[1]))).convert("RGB")
    return found, page


@pytest.mark.parametrize("tells", [True, False])
def test_real_pictures_are_hidden_and_come_back_from_the_users_own_data(studio, tells, tmp_path, capsys):
    """tells: whether the evaluation says which pictures are real; before 0.3 it did not."""
    run = shutil.copytree(studio["vae"], tmp_path / "vae")
    if not tells:
        patch_json(run / "evaluation.json", lambda e: [entry.pop("real", None) for entry in e["pictures"]])
    kept = record([run], tmp_path / "kept") / "vae"
    real = {"reconstructions": range(10), "neighbours": [place for place in range(32) if place % 4]}
    for name, places in real.items():
        live, hidden = (cells(sheet(f"{base}/samples/{name}.{kind}")) for base, kind in ((run, "png"), (kept, "webp")))
        assert len(live) == len(hidden) > max(places)
        assert [place for place, cell in enumerate(hidden) if grey(cell)] == list(places), name
    assert not any(grey(cell) for cell in cells(sheet(kept / "samples" / "grid.webp")))
    assert str(studio.data) not in (kept / "evaluation.json").read_text()
    # The data is at hand: the same pictures, to the bit.
    before = (kept / "samples" / "reconstructions.webp").read_bytes()
    shown, page = pictures_of(kept)
    for name, title in (("reconstructions", "Reconstructions"), ("neighbours", "Nearest training pictures")):
        live, filled = cells(sheet(run / "samples" / f"{name}.png")), cells(shown[title])
        assert all(filled[place].tobytes() == live[place].tobytes() for place in real[name])
    assert "Grey:" not in page and "the page shows real pictures of" in capsys.readouterr().err
    assert (kept / "samples" / "reconstructions.webp").read_bytes() == before
    # It is not, or is another: what would stand there is said, with the command.
    for other in (None, faces_tiny.portraits(40, 7)):
        place = tmp_path / "elsewhere"
        if other is not None:
            genshift.data.pack(other, place / "train")
            genshift.data.pack(other, place / "test")
        patch_json(kept / "config.json", lambda c, place=place: c["preset"]["fields"].update(data=str(place)))
        shown, page = pictures_of(kept)
        assert grey(cells(shown["Reconstructions"])[0]) and "10 of elsewhere, whose terms nobody knows" in page
        assert "genshift report DIR --data-root ROOT" in page
        assert "real pictures stay hidden" in capsys.readouterr().err


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_real_pictures_of_two_domains_come_back_whatever_the_networks_take(colour, domains, tmp_path):
    """Sheets of two domains are in colour; the networks of most of hw3's tasks take grey."""
    run = tmp_path / "run"
    api.train(tiny.tiny("demo-source", domains, colour=colour), run, images=8)
    api.evaluate(run)
    kept = record([run], tmp_path / "kept") / "run"
    (entry,) = (e for e in json.loads((kept / "evaluation.json").read_text())["pictures"] if "domains" in e["file"])
    assert set(entry["hidden"]) == {"source", "target"}
    shown, page = pictures_of(kept)
    live, filled = cells(sheet(run / "samples" / "domains.png"), 28), cells(shown["Both domains"], 28)
    assert "Grey:" not in page and [cell.tobytes() for cell in live] == [cell.tobytes() for cell in filled]


def test_a_page_to_share_holds_no_real_picture_though_the_data_is_at_hand(studio, tmp_path, capsys):
    argv = ["report", str(studio["vae"]), "--to-share", "--out", str(tmp_path / "page.html")]
    assert main.main(argv) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8").partition("<script>")[0]
    assert "Grey: real pictures" in page and 'src="data:image/webp' in page and 'src="data:image/png' not in page
    assert main.main([*argv, "--data-root", str(tmp_path)]) == 2 and "give one of them" in capsys.readouterr().err


def test_runs_of_one_name_from_two_folders_are_shared_on_one_page(tmp_path, capsys):
    twins = [write_gan(tmp_path / name, values={"frechet": value}) for name, value in (("a", 20.0), ("b", 30.0))]
    page = genshift.report(twins, tmp_path / "page.html", to_share=True).read_text(encoding="utf-8")
    assert "2 runs" in page


def test_what_nobody_says_of_is_real_and_of_every_set_of_the_run(tmp_path):
    """A sheet of both domains, drawn by whoever: hidden unless both may be passed on."""
    for target, allowed in (("svhn", False), ("uci", True)):
        folder = write_run(tmp_path / target, "own", "a→b", "dann", 0, 0.5)
        options = {"source": "mnist", "target": target, "size": 16}
        patch_json(folder / "config.json", lambda c, options=options: c["preset"].update(fields=options))
        (folder / "samples").mkdir()
        Image.new("RGB", (2 * 18 + 2, 18 + 2), (200, 30, 30)).save(folder / "samples" / "both.png")
        patch_json(folder / "evaluation.json", lambda e: e.update(pictures=[{"file": "samples/both.png"}]))
        kept = record([folder], tmp_path / "kept" / target) / folder.name
        assert [grey(cell) for cell in cells(sheet(kept / "samples" / "both.webp"), 16)] == [not allowed] * 2
        named = json.loads((kept / "evaluation.json").read_text())["pictures"][0].get("hidden", {})
        assert set(named) == (set() if allowed else {"target"})


def test_a_film_of_nobody_knows_what_is_painted_over(tmp_path):
    folder = write_diffusion(tmp_path / "runs")
    (folder / "samples" / "reverse.webp").rename(folder / "samples" / "walk.webp")
    patch_json(folder / "evaluation.json", lambda e: e["pictures"][-1].update(file="samples/walk.webp"))
    kept = record([folder], tmp_path / "kept") / folder.name
    with Image.open(kept / "samples" / "walk.webp") as shown:
        assert getattr(shown, "n_frames", 1) == 1 and grey(shown.convert("RGB"))


# --- written whole ----------------------------------------------------------------------------------------------------


def test_a_record_is_whole_or_as_it_was(tmp_path, monkeypatch):
    folder, out = write_gan(tmp_path / "runs"), tmp_path / "kept"
    record([folder], out)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("*") if path.is_file()}
    record([folder], out)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before, "the same is left alone"
    patch_json(folder / "results.json", lambda r: r["frechet"].update(value=1.5))
    whole = Path.write_bytes

    def fail(path, content):
        if path.name == "grid.webp":
            raise OSError(28, "No space left on device")
        return whole(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(Refusal, match="the disk is full"):
        record([folder], out)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert [path.name for path in out.iterdir()] == [folder.name], "nothing half-written stays"
    monkeypatch.undo()
    (folder / "samples" / "interpolation.png").unlink()
    record([folder], out)
    kept = out / folder.name
    assert json.loads((kept / "results.json").read_text())["frechet"]["value"] == 1.5
    assert not (kept / "samples" / "interpolation.webp").exists() and (kept / "config.json").exists()


def test_a_record_takes_the_place_of_nothing_else(tmp_path, capsys):
    run = write_gan(tmp_path / "runs")
    (run / "checkpoints").mkdir()

    def refused(*argv):
        assert main.main(["report", *map(str, argv)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "is a run with its checkpoints" in refused(run, "--record", tmp_path / "runs")
    other = tmp_path / "kept" / run.name
    other.mkdir(parents=True)
    (other / "notes.txt").write_text("mine")
    assert "holds notes.txt, which is no record's" in refused(run, "--record", tmp_path / "kept")
    twin = write_gan(tmp_path / "others")
    assert "have one name" in refused(run, twin, "--record", tmp_path / "new")
    assert "name --out page.html, --record DIR or --figures DIR" in refused(run)
    assert "--title is of the page" in refused(run, "--record", tmp_path / "new", "--title", "x")
    assert "leave --record out" in refused(tmp_path / "runs", "--record", tmp_path / "new", "--out", tmp_path / "a.md")
    torn = run / "samples" / "grid.png"
    torn.write_bytes(torn.read_bytes()[:900])
    assert "grid.png is damaged" in refused(run, "--record", tmp_path / "new")
    (tmp_path / "script.js").write_text("alert(1)")
    assert "something else than plotly's" in refused(
        run, "--out", tmp_path / "p.html", "--plotly", tmp_path / "script.js"
    )
    assert "is the page itself" in refused(twin, "--out", tmp_path / "p.html", "--plotly", tmp_path / "p.html")
    assert not (tmp_path / "p.html").exists()
    assert (run / "checkpoints").is_dir() and (other / "notes.txt").exists() and not (tmp_path / "new").exists()


# --- pages that share -------------------------------------------------------------------------------------------------


def test_pages_share_one_plotly_and_are_drawn(tmp_path):
    folder = write_run(tmp_path / "runs", "own", "a→b", "dann", 0, 0.5)
    script = tmp_path / "pages of ours" / "plotly.js"
    pages = [genshift.report(folder, script.parent / where / "a.html", plotly=script) for where in ("one", "two")]
    assert script.stat().st_size > PLOTLY_BYTES > 20 * max(page.stat().st_size for page in pages)
    assert '<script src="../plotly.js">' in pages[0].read_text(encoding="utf-8")
    script.write_text("/**\n* plotly.js v0.1.0\n*/")
    genshift.report(folder, pages[0], plotly=script)
    assert script.stat().st_size > PLOTLY_BYTES, "an older one is replaced"
    with browser.browser() as chromium, browser.opened(chromium, pages[1], beside=script) as seen:
        plots = seen.page.evaluate(PLOTS)
        assert plots and all(plot["svgs"] >= 2 and plot["marks"] > 0 for plot in plots) and seen.complaints == []


def test_all_that_is_recorded_stays_small():
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 25 * 2**20


# --- what was not recorded is not said to be missing ------------------------------------------------------------------


def test_what_earlier_records_left_out_is_not_said_of_the_run(tmp_path):
    """config.json, results.json and the oracle's curve alone, as docs/results has them of 0.2."""
    folders = [write_run(tmp_path, "own", "a→b", role, 0, 0.5) for role in ("source", "dann")]
    folders += [write_gan(tmp_path), write_diffusion(tmp_path)]
    for folder in folders:
        for path in folder.iterdir():
            if path.name not in ("config.json", "results.json", "oracle.jsonl"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = write_page(folders, tmp_path / "page.html").read_text(encoding="utf-8")
    text = text.partition("<script>")[0]
    for false in ("no target labels", "evaluated without a t-SNE", "not swept", "evaluate the run again"):
        assert false not in text, false
    assert text.count("Source only, DANN: not kept in its record.") == 2
    assert text.count("measures alone were kept") == 3, "of each section"


def test_a_measure_that_failed_is_no_missing_label_and_no_missing_drawing(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    patch_json(folder / "results.json", lambda r: r.pop("oracle/target_test_accuracy"))
    refused = ["Not measured: oracle/target_test_accuracy. It is gone.", "Not measured: t-SNE. No room."]
    patch_json(folder / "evaluation.json", lambda e: (e.pop("confusion"), e.update(tsne=None, warnings=refused)))
    text = write_page([folder], tmp_path / "page.html").read_text(encoding="utf-8").partition("<script>")[0]
    assert "no target labels" not in text and "without a t-SNE" not in text
    assert text.count("DANN: could not be measured.") == 2
    patch_json(folder / "evaluation.json", lambda e: (e.pop("tsne"), e.update(warnings=[])))
    text = write_page([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "DANN: no target labels." in text
    assert "DANN: evaluated without a t-SNE, which `genshift evaluate RUN` draws." in text


def test_the_record_of_a_run_that_has_just_begun_or_diverged(tmp_path):
    folder = write_gan(tmp_path / "runs")
    for name in ("evaluation.json", "results.json"):
        (folder / name).unlink()
    write_lines(folder / "metrics.jsonl", [{"images": 64, "train/loss_d": 0.5}])
    kept = record([folder], tmp_path / "kept")
    assert sorted(path.name for path in (kept / folder.name).iterdir()) == ["config.json", "metrics.jsonl"]
    assert page_of(kept) == page_of(tmp_path / "runs")
