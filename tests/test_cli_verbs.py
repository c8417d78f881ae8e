"""Every verb of the command line doing what it says, on tiny data."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest
import tiny
from tiny import told

import genshift
from genshift import studies
from genshift.cli import main
from genshift.data import open_packed
from genshift.evaluation import adaptation
from genshift.presets import METHODS, PRESETS
from genshift.runs.find import find_runs
from genshift.training import train as training


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the command line on folders of one's own: (folder of runs, source, unlabelled target)."""
    root = tmp_path_factory.mktemp("verbs")
    source, target = tiny.write_classes(root / "scans", 0), tiny.write_flat(root / "photos", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKS", 2)
        for name in ("demo-source", "demo-dann"):
            flags = ["--source", source, "--target", target, "--batch-source", 4, "--batch-target", 4, "--images", 16]
            out = ["--out", root / "runs" / name]
            assert main.main([str(word) for word in ("train", name, *flags, "--precision", "float32", *out)]) == 0
    return root / "runs", source, target


def test_help_and_version(capfd):
    text = told(capfd, "--help")
    assert all(f"  {verb} " in text for verb in main.COMMANDS)
    version = told(capfd, "--version")
    assert f"genshift  {genshift.__version__}" in version and "torch" in version and "device" in version


@pytest.mark.parametrize("verb", [verb for verb in main.COMMANDS if verb != "data"])
def test_every_verb_has_help(verb, capfd):
    with pytest.raises(SystemExit) as left:
        main.main([verb, "--help"])
    assert left.value.code == 0
    assert f"usage: genshift {verb}" in capfd.readouterr().out


def test_ls_lists_everything(runs, capfd):
    listing = json.loads(told(capfd, "ls", runs[0], "--json"))
    assert {preset["name"] for preset in listing["presets"]} == set(PRESETS)
    assert {study["name"] for study in listing["studies"]} == set(studies.STUDIES)
    embedded = {data["name"]: data["here"] for data in listing["data"]}
    assert embedded["uci"] == ["train", "test"] and embedded["svhn"] == []
    assert [(run["preset"], run["seen"], run["images"]) for run in listing["runs"]] == [
        ("demo-dann", 16, 16),
        ("demo-source", 16, 16),
    ]
    text = told(capfd, "ls", runs[0])
    # A method on the study's own tasks needs no line for each.
    assert all(name in text for name, preset in PRESETS.items() if preset.study != "adaptation")
    assert all(f"  {name} " in text for name in METHODS) and "METHOD-SOURCE-TARGET, such as adamatch-im-" in text
    assert len(text.splitlines()) < 90 and "demo-dann, seed 0, 16 of 16" in text
    assert "none here" in told(capfd, "ls", runs[1])


def test_show_says_where_each_value_comes_from(capfd):
    shown = json.loads(told(capfd, "show", "hw3-dann-usps-mnistm", "--json"))
    options = shown["options"]
    assert (options["lr"]["value"], options["lr"]["origin"]) == (1e-3, "published")
    assert (options["batch_target"]["value"], options["batch_target"]["origin"]) == (256, "published")
    assert options["lam"]["origin"].startswith("cited source") and options["size"]["origin"].startswith("ours")
    assert shown["published"] == {"target_accuracy": 0.4249}
    assert shown["networks"].keys() == {"Extractor", "Predictor", "Classifier"}
    text = told(capfd, "show", "hw2-dann-mnistm-svhn")
    assert "Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))" in text
    assert "published target_accuracy: 48.74%" in text and "FeatureExtractor: " in text
    assert "yours" in told(capfd, "show", "demo-dann", "--lr", "0.5")


PUBLISHED = {
    "hw2-{}-mnistm-svhn": (0.3366, 0.4874, 0.9046),
    "hw2-{}-mnistm-usps": (0.8743, 0.9368, 0.9783),
    "hw3-{}-usps-mnistm": (0.1517, 0.4249, 0.8702),
    "hw3-{}-mnistm-svhn": (0.4179, 0.4730, 0.8351),
    "hw3-{}-svhn-usps": (0.5416, 0.5789, 0.9546),
}


def test_the_published_figures_and_settings_are_the_reports():
    for pattern, figures in PUBLISHED.items():
        for role, figure in zip(("source", "dann", "target"), figures, strict=True):
            preset = PRESETS[pattern.format(role)]
            assert preset.published == {"target_accuracy": figure}
            hw2 = preset.study == "hw2"
            assert (preset.optimizer, preset.lr, preset.epochs) == ("adam", 3e-4 if hw2 else 1e-3, 200 if hw2 else 20)
            batches = {"usps": 64, "mnistm": 256, "svhn": 256}
            assert preset.batch_source == (64 if hw2 else batches[preset.source])
            assert preset.batch_target == (64 if hw2 else batches[preset.target])
            if not hw2:
                assert (preset.validation, preset.mean, preset.std, preset.colour) == (0.3, 0.5, 0.5, "grey")


def test_a_dry_run_prints_what_would_be_trained_and_leaves(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = json.loads(told(capfd, "train", "demo-dann", "-n", "--lr", "0.5", "--images", "1_000", "--out", "run"))
    assert (planned["preset"], planned["lr"], planned["images"]) == ("demo-dann", 0.5, 1000)
    assert "epochs" not in planned
    assert not os.listdir(tmp_path)


def test_training_on_ones_own_folders(runs):
    """Class folders as source, a flat folder as target: the run knows its classes and has no oracle figure."""
    run = runs[0] / "demo-dann"
    config, results = (json.loads((run / name).read_text()) for name in ("config.json", "results.json"))
    assert config["classes"] == list(tiny.DIGITS)
    assert config["command"].startswith("genshift train demo-dann --source ")
    assert (config["preset"]["fields"]["images"], config["preset"]["origins"]["images"]) == (16, "yours")
    assert config["data"]["target"]["name"] == "photos"
    assert "source_test_accuracy" in results and not any(name.startswith("oracle/") for name in results)
    assert "# demo-dann, seed 0" in (run / "card.md").read_text()


def test_predictions_are_a_csv_of_names_classes_and_confidence(runs, capfd, tmp_path):
    said = told(capfd, "predict", runs[0] / "demo-dann", runs[2], "--out", tmp_path / "labels.csv")
    assert re.search(r"predictions; \d+ class(es)? named, most often \d \(\d+%\)\.", said)
    assert "not trained to its end" not in said
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image_name", "label", "confidence"]
    assert [row[0] for row in rows[1:]] == sorted(path.name for path in runs[2].iterdir())
    assert all(label in tiny.DIGITS and 0.1 <= float(confidence) <= 1 for _, label, confidence in rows[1:])


def test_features_are_an_npz(runs, capfd, tmp_path):
    told(capfd, "embed", runs[0] / "demo-dann", runs[1], "--out", tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz", allow_pickle=False) as archive:
        assert archive["features"].shape == (20, 512) and archive["features"].dtype == np.float32
        assert archive["names"].tolist()[:2] == ["0/000.png", "0/010.png"]


def test_evaluate_compare_and_report(domains, capfd, tmp_path, monkeypatch):
    """From two trained runs to one page, with confusion and t-SNE in it."""
    monkeypatch.setattr(training, "CHECKS", 2)
    for name in ("demo-source", "demo-dann"):
        tiny.train(tiny.tiny(name, domains), tmp_path / "runs" / name)
        results = json.loads(told(capfd, "evaluate", tmp_path / "runs" / name, "--json"))
        assert results["oracle/target_test_accuracy"]["n"] == 20
        evaluation = json.loads((tmp_path / "runs" / name / "evaluation.json").read_text())
        assert np.array(evaluation["confusion"]).sum() == 20
        assert len(evaluation["tsne"]["x"]) == 40 and evaluation["tsne"]["domain"] == [0] * 20 + [1] * 20
    printed = told(capfd, "evaluate", tmp_path / "runs" / "demo-dann")
    assert "oracle/target_test_accuracy" in printed and "(n = 20; " in printed
    rows = json.loads(told(capfd, "compare", tmp_path / "runs", "--json"))
    assert rows and "demo" in json.dumps(rows)
    assert "two" in told(capfd, "compare", tmp_path / "runs" / "demo-source", tmp_path / "runs" / "demo-dann")
    page = told(capfd, "report", tmp_path / "runs", "--out", tmp_path / "page.html", "--title", "Tiny domains").strip()
    html = (tmp_path / "page.html").read_text()
    assert page == str(tmp_path / "page.html") and "Tiny domains" in html and "FeatureExtractor" in html


def test_data_is_listed_checked_and_packed(capfd, tmp_path):
    sets = json.loads(told(capfd, "data", "ls", "--json"))
    assert all(each["licence"] and each["terms"] for each in sets)
    checked = told(capfd, "data", "check", "uci", "--out", tmp_path / "sheet.png")
    assert "701" in checked and "[701, 1, 28, 28]" in checked and (tmp_path / "sheet.png").stat().st_size > 0
    told(capfd, "data", "pack", "uci", "--split", "test", "--out", tmp_path / "packed")
    assert len(open_packed(tmp_path / "packed")) == 200
    assert "usage: genshift data COMMAND" in told(capfd, "data")


def test_the_demo_ends_in_a_page(capfd, tmp_path, monkeypatch):
    """The real command with a budget of two steps a run."""
    monkeypatch.setattr(training, "CHECKS", 1)
    monkeypatch.setattr(studies.Study, "images", lambda self, preset, budget: 128)
    monkeypatch.setattr(adaptation, "TSNE_IMAGES", 40)
    printed = told(capfd, "demo", "--out", tmp_path / "demo")
    assert f"The page: {tmp_path / 'demo' / 'page.html'}" in printed and "uci→uci-m" in printed
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        *(f"demo-{role}-seed0" for role in ("adamatch-im", "dann", "source", "target")),
        "page.html",
    ]
    page = (tmp_path / "demo" / "page.html").read_text(encoding="utf-8")
    assert page.count("Both domains") and "Mistakes of DANN" in page and "Mistakes of AdaMatch" in page
    record = json.loads((tmp_path / "demo" / "demo-dann-seed0" / "evaluation.json").read_text(encoding="utf-8"))
    domains, mistakes = sorted(record["pictures"], key=lambda entry: entry["file"])
    assert domains["real"] == {"source": list(range(10)), "target": list(range(10, 20))}
    assert len(mistakes["under"]) == 10 and all("\nis " in text for text in mistakes["under"])


def test_the_python_verbs_are_those_of_the_command_line(runs, tmp_path):
    verbs = set(main.COMMANDS) - {"completion"}
    assert verbs <= set(genshift.__all__)
    for verb in verbs - {"data"}:
        assert callable(getattr(genshift, verb)), verb
    rows = genshift.predict(runs[0] / "demo-dann", runs[2])
    assert len(rows) == 20 and len(rows[0]) == 3
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = genshift.trane


def test_every_verb_is_there_before_and_after_any_import(runs):
    """`genshift.report` is a package too: importing it must not take the verb away."""
    code = """
import sys, genshift
verbs = ("compare", "demo", "embed", "evaluate", "ls", "predict", "report", "show", "study", "train")
def check():
    assert all(callable(getattr(genshift, verb)) for verb in verbs), genshift.report
    assert genshift.data.load and genshift.presets.get
    page = genshift.report([sys.argv[1]], sys.argv[2], "Two runs")
    assert page.exists()
    page.unlink()
check()
import genshift.api, genshift.studies.running, genshift.report.figures
from genshift.report.page import write_page
check()
assert genshift.report.page.write_page is write_page and genshift.compare([sys.argv[1]])
try:
    genshift.study("dmeo", "x")
except Exception as refusal:
    assert "did you mean 'demo'" in str(refusal)
"""
    done = tiny.python("-c", code, runs[0], runs[0].parent / "verbs.html")
    assert done.returncode == 0, done.stderr


def test_the_verbs_are_typed(tmp_path):
    pytest.importorskip("mypy")
    user = tmp_path / "user.py"
    user.write_text(
        "import genshift\n"
        "done: bool = genshift.train('demo-dann', 'x', seed=1).finished\n"
        "page = genshift.report(['x'], 'page.html')\n"
        "name: str = page.name\n"
        "rows = genshift.compare(3)\n"
    )
    checked = tiny.python("-m", "mypy", user)  # with the cache of the check of the whole, where that was made
    errors = [line for line in checked.stdout.splitlines() if "error" in line and "Found" not in line]
    assert len(errors) == 1 and "user.py:5" in errors[0], checked.stdout


def test_report_and_ls_find_runs_at_every_depth(runs, tmp_path, capfd):
    """README's `genshift report runs` over runs/, runs/demo/ and runs/mine/hw2/; each run once."""
    for place in ("one", "demo/two", "mine/hw2/three"):
        shutil.copytree(runs[0] / "demo-source", tmp_path / place)
    listed = [row["path"] for row in genshift.ls(tmp_path)["runs"]]
    assert listed == sorted(str(tmp_path / place) for place in ("one", "demo/two", "mine/hw2/three"))
    assert sorted(map(str, find_runs([tmp_path, tmp_path / "demo"]))) == listed
    told(capfd, "report", tmp_path, "--out", tmp_path / "page.html")


@pytest.mark.usefixtures("quick")
def test_an_unfinished_run_answers_and_says_so(domains, tmp_path, capfd):
    preset, run = tiny.tiny("demo-dann", domains), tmp_path / "run"
    assert tiny.train(preset, run, observers=[tiny.StopAt(12)]) is False
    pictures = tiny.write_flat(tmp_path / "pictures", 1)
    for verb in ("predict", "embed"):
        said = told(capfd, verb, run, pictures, "--out", tmp_path / f"{verb}.npz")
        assert "is not trained to its end (16 of 24 images): its own command continues it." in said


def test_a_broken_run_does_not_hide_the_others(tmp_path):
    from genshift.cli.listing import as_text, ls

    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    listing = ls(tmp_path)
    assert "not readable JSON" in listing["runs"][0]["broken"]
    assert str(tmp_path / "broken") in as_text(listing)


def test_broken_pictures_are_left_out_of_every_verb_when_asked(tmp_path, capfd):
    source = tiny.write_classes(tmp_path / "labelled", 0)
    target = tiny.write_flat(tmp_path / "pictures", 1)
    (target / "broken.png").write_text("no picture")
    train = ["train", "demo-dann", "--source", str(source), "--target", str(target), "--images", "8"]
    train += ["--batch-source", "4", "--batch-target", "4", "--validation", "0.2", "--out", str(tmp_path / "run")]
    assert main.main(train) == 2
    assert "broken.png" in capfd.readouterr().err
    assert main.main([*train, "--skip-broken"]) == 0
    predict = ["predict", str(tmp_path / "run"), str(target), "--out", str(tmp_path / "labels.csv")]
    assert main.main(predict) == 2
    assert main.main([*predict, "--skip-broken"]) == 0
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 21
