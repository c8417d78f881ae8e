"""The form of what an evaluation leaves, and that every family has one."""

import json
import math
from dataclasses import replace

import faces_tiny
import numpy as np
import pytest
import tiny
import torch
from data_files import png
from faces_tiny import RUNS, SMALL, portraits
from PIL import Image
from tiny import refused

from genshift import api, presets
from genshift.cli import main
from genshift.data import pack
from genshift.errors import Refusal
from genshift.evaluation import adaptation, feature_distance, generation, panels
from genshift.evaluation.evaluate import FAMILIES
from genshift.evaluation.family import FamilyEvaluation
from genshift.evaluation.findings import Findings
from genshift.runs.folder import RunFolder
from genshift.runs.png import grid
from genshift.runs.records import read_record
from genshift.runs.results import Measure, read_results, results_as_json


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return faces_tiny.Studio(tmp_path_factory.mktemp("studio"))


def test_every_family_of_presets_has_its_evaluation():
    assert set(FAMILIES) == set(presets.FAMILIES)
    assert all(isinstance(family, FamilyEvaluation) for family in FAMILIES.values())
    # None falls back on a `measure` that nobody wrote.
    assert all(type(family).measure is not FamilyEvaluation.measure for family in FAMILIES.values())


@pytest.mark.parametrize(
    ("measure", "entry"),
    [
        (Measure(0.5, 20, "how", 0.1), '{"value": 0.5, "std": 0.1, "n": 20, "protocol": "how"}'),
        (Measure(3, 1, "how"), '{"value": 3, "std": null, "n": 1, "protocol": "how"}'),
        (Measure(0.5, 9, "how", 0.1, 0.0), '{"value": 0.5, "std": 0.1, "n": 9, "protocol": "how", "floor": 0.0}'),
    ],
)
def test_a_measure_has_the_form_of_results_json_and_comes_back_from_it(measure, entry):
    assert json.dumps(measure.as_json()) == entry, "in this order, a floor only where there is one"
    assert Measure.from_json(json.loads(entry)) == measure


def test_results_are_read_as_they_were_written(tmp_path):
    run, results = RunFolder(tmp_path), {"b": Measure(1.0, 2, "x"), "a": Measure(2.0, 3, "y", 0.5, 0.25)}
    run.write("results.json", results_as_json(results))
    assert list(read_results(run).items()) == list(results.items()), "order included"


def test_an_entry_of_no_value_was_not_measured_and_older_ones_may_say_less(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"preset": {"name": "p"}, "seed": 0, "images": 1}))
    entries = {"fid": {"value": None, "std": None, "n": 5, "protocol": "x"}, "kid": {"value": 0.5}}
    (tmp_path / "results.json").write_text(json.dumps(entries))
    record = read_record(tmp_path)
    assert record.value("fid") is None and record.value("kid") == 0.5
    assert (record.floor("kid"), record.protocol("kid"), record.count("kid")) == (None, "", 0)


# --- each measure ends for itself -------------------------------------------------------------------------------------


def test_a_refused_measure_ends_itself_and_no_other():
    found = Findings(("a",))
    with found.measuring("one", "two"):
        found.results |= {"one": Measure(1.0, 1, ""), "three": Measure(3.0, 1, "")}
        raise Refusal("There is too little.")
    for name, measure in (("psnr", Measure(math.inf, 1, "")), ("ssim", Measure(1.0, 1, "", math.nan))):
        with found.measuring(name):
            found.results[name] = measure
    with found.measuring("four"):
        found.results["four"] = Measure(4.0, 1, "")
    assert set(found.results) == {"three", "four"}
    assert found.record["warnings"] == found.refused == [
        "Not measured: one, two. There is too little.",
        "Not measured: psnr. Its value came out as inf: expected a finite number.",
        "Not measured: ssim. Its std came out as nan: expected a finite number.",
    ]  # fmt: skip
    with pytest.raises(KeyError), found.measuring("five"):  # a fault of the program is none of the data's
        found.results["none"]


def evaluated(run):
    """results.json and the warnings of evaluation.json."""
    return json.loads((run / "results.json").read_text()), json.loads((run / "evaluation.json").read_text())["warnings"]


def trained(name, data, out, *flags):
    """A run of faces_tiny's, on other data, by the command line."""
    words = ["train", *RUNS[name], "--data", data, *SMALL, *flags, "--out", out]
    assert main.main([str(word) for word in words]) == 0
    return out


def write_pictures(folder, images):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        (folder / f"{number:03}.png").write_bytes(png(image.permute(1, 2, 0).numpy()))
    return folder


def test_pictures_that_are_there_twice_are_measured(tmp_path, quick):
    folder = write_pictures(tmp_path / "twice", portraits(40, 0).images.repeat_interleave(2, 0))
    flags = ("--validation", 0.2)
    run = trained("vae", folder, tmp_path / "run", *flags)
    results, warnings = evaluated(run)
    # Copies are held out together or not at all, so that even these two have something to say.
    assert {"sharpness", "reconstruction_mse", "psnr", "ssim", "copies", "nearest_train"} <= set(results)
    assert not [warning for warning in warnings if warning.startswith("Not measured")]
    before = (run / "results.json").stat().st_mtime_ns
    trained("vae", folder, run, *flags)
    assert (run / "results.json").stat().st_mtime_ns == before, "what is measured is not measured again"


@pytest.mark.parametrize(
    ("count", "measured", "refused"),
    [
        (2, {"sharpness"}, ["frechet", "precision, recall", "repeats"]),
        (6, {"sharpness", "frechet"}, ["precision, recall"]),
        (8, {"sharpness", "frechet", "precision", "recall"}, []),
    ],
)
def test_too_few_pictures_for_a_distance_leave_the_others(count, measured, refused, studio, tmp_path, quick):
    folder = write_pictures(tmp_path / "few", portraits(count, 0).images)
    run = trained("gan", folder, tmp_path / "run", "--batch", 2)
    api.evaluate(run, features=studio["judge"], draw=False)
    results, warnings = evaluated(run)
    costs = {"cpu_minutes", "images_per_second", "seconds_per_image"}
    steady = {"discriminator_loss_spread", "alarmed"}
    assert set(results) == measured | costs | steady | ({"repeats"} if count > 2 else set())
    assert [line.partition(". There are ")[0] for line in warnings] == [f"Not measured: {name}" for name in refused]


def test_a_domain_that_is_gone_leaves_the_other(domains, tmp_path, quick):
    source = tiny.write_domain(tmp_path / "source", 0)
    assert tiny.train(tiny.tiny("demo-dann", (source, domains[1])), tmp_path / "run")
    both = api.evaluate(tmp_path / "run")
    source.rename(tmp_path / "moved")
    alone = api.evaluate(tmp_path / "run", draw=True)["oracle/target_test_accuracy"]
    assert alone["value"] == both["oracle/target_test_accuracy"]["value"]
    results, (warning,) = evaluated(tmp_path / "run")
    assert warning.startswith("Not measured: source_test_accuracy. There is no folder or file")
    assert "source_test_accuracy" not in results
    # A place that the user names is refused as a whole.
    with pytest.raises(Refusal, match="There is nothing at --source"):
        api.evaluate(tmp_path / "run", places={"source": str(source)})
    again = api.evaluate(tmp_path / "run", places={"source": str(tmp_path / "moved")})
    assert {name: measure["value"] for name, measure in again.items()} == {
        name: measure["value"] for name, measure in both.items()
    }


def test_pictures_all_alike_are_measured(studio, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("genshift.training.training_data.check_pictures", lambda images: [])  # else refused
    folder = write_pictures(tmp_path / "alike", portraits(1, 0).images.repeat(16, 1, 1, 1))
    run = trained("gan", folder, tmp_path / "run")
    results = api.evaluate(run, features=studio["judge"], draw=False)
    assert evaluated(run)[1] == [] and results["frechet"]["floor"] == pytest.approx(0, abs=1e-9)
    assert results["precision"]["floor"] == results["recall"]["floor"] == 1


def test_one_picture_of_each_class_is_parted_whatever_its_class(studio, tmp_path, quick):
    run = trained("gan-classes", tiny.write_classes(tmp_path / "ten", 0, count=10), tmp_path / "run")
    results = api.evaluate(run, features=studio["judge"], draw=False)
    assert results["frechet"]["n"] == 5 and "class_accuracy" not in results
    (warning,) = evaluated(run)[1]
    assert warning.startswith("Not measured: class_accuracy. faces-attributes, seed 0 does not tell these classes")


def test_a_class_too_small_for_a_mixture_leaves_the_reconstructions(tmp_path, quick):
    few = portraits(12, 0)
    pack(few.take(torch.tensor([0, *range(1, 12, 2)])), tmp_path / "set" / "train")  # of "land" one alone
    pack(portraits(12, 1), tmp_path / "set" / "test")
    run = trained("vae-classes", tmp_path / "set", tmp_path / "run")
    results, (*_, warning) = evaluated(run)
    assert warning.startswith("Not measured: samples. Class number 0 has 1 training images")
    own = {"reconstruction_mse", "psnr", "ssim", "border_colour_kept", "middle_colour_kept", "way_round_kept"}
    stages = {name for name in results if name.startswith("latent_")}
    assert set(results) == {"cpu_minutes", "images_per_second"} | own | stages and stages
    assert (run / "samples" / "reconstructions.png").is_file()


def test_what_fails_now_is_not_told_as_an_earlier_evaluation_found_it(studio, tmp_path, monkeypatch):
    assert studio.train("vae", tmp_path / "run") == 0
    before = api.evaluate(tmp_path / "run", features=studio["judge"], draw=False)

    def refuse(*given):
        raise Refusal("Not today.")

    monkeypatch.setitem(feature_distance.DISTANCES, ("frechet",), refuse)
    monkeypatch.setattr(generation, "sharpness", refuse)
    after = api.evaluate(tmp_path / "run", features=studio["judge"], draw=False)
    assert set(before) - set(after) == {"frechet", "frechet_normal_prior", "sharpness"}
    kept = api.evaluate(tmp_path / "run", draw=False)
    assert {"precision", "recall"} <= set(kept) and "frechet" not in kept, "what is not asked for stays as it was"


def test_labels_that_are_gone_leave_no_accuracy_of_before(tmp_path):
    source, target = (tiny.write_classes(tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    run = tmp_path / "run"
    api.train(tiny.tiny("demo-dann", (source, target), validation=0.2), run, images=8)
    assert "oracle/target_test_accuracy" in evaluated(run)[0]
    for place in sorted(target.glob("*/*.png")):
        place.rename(target / f"{place.parent.name}-{place.name}")
        if not any(place.parent.iterdir()):
            place.parent.rmdir()
    after = api.evaluate(run, draw=False)
    assert "oracle/target_test_accuracy" not in after and "source_test_accuracy" in after


def test_a_test_part_that_shows_nothing_leaves_what_needs_none(tmp_path, quick):
    write_pictures(tmp_path / "set" / "train", portraits(12, 0).images)
    write_pictures(tmp_path / "set" / "test", torch.zeros_like(portraits(4, 0).images))
    results, warnings = evaluated(trained("gan", tmp_path / "set", tmp_path / "run", "--batch", 2))
    assert "sharpness" in results
    assert any(line.startswith("Not measured: held-out pictures. 'set' shows nothing: 4 of 4") for line in warnings)


def test_a_refused_map_leaves_the_accuracies(domains, tmp_path, monkeypatch):
    def refuse(*given, **more):
        raise Refusal("3 of 40 feature rows hold a value that is not finite.")

    monkeypatch.setattr(adaptation, "tsne", refuse)
    run = tmp_path / "run"
    api.train(tiny.tiny("demo-source", domains), run, images=8)
    results = api.evaluate(run)
    assert {"oracle/target_test_accuracy", "source_test_accuracy"} <= set(results)
    assert evaluated(run)[1] == ["Not measured: t-SNE. 3 of 40 feature rows hold a value that is not finite."]
    assert json.loads((run / "evaluation.json").read_text())["tsne"] is None


@pytest.mark.parametrize(
    ("name", "measure", "changes"),
    [
        ("attributes", "attribute_accuracy", {"attributes": None, "attribute_names": ()}),
        ("attributes", "attribute_accuracy", {"attribute_names": ("Smiling", "Male")}),
        ("judge", "test_accuracy", {"labels": None, "classes": ()}),
        ("judge", "test_accuracy", {"classes": ("lake", "river")}),
    ],
)
def test_a_test_part_that_tells_nothing_ends_evaluate_and_no_training(name, measure, changes, tmp_path, quick, capfd):
    pack(portraits(12, 0), tmp_path / "set" / "train")
    pack(replace(portraits(8, 1), **changes), tmp_path / "set" / "test")
    run = trained(name, tmp_path / "set", tmp_path / "run")
    assert f"warning: Not measured: {measure}. " in capfd.readouterr().out
    sentence = refused(capfd, "evaluate", run, last_line=True)
    assert f"Nothing of {run} could be measured. Not measured: {measure}. portraits, test images: without" in sentence


def test_the_first_mistakes_say_what_they_were_taken_for_and_what_they_are(tmp_path):
    target, names = tiny.digits(12, 3), [f"the {digit}" for digit in tiny.DIGITS]
    assert target.labels is not None
    predicted = target.labels.clone()
    writer = panels.ImageWriter(RunFolder(tmp_path))
    assert panels.mistakes(writer, target, predicted, names) is None
    predicted[[2, 7]] = torch.tensor([9, 1])
    entry = panels.mistakes(writer, target, predicted, names)
    assert entry["under"] == ["the 9\nis the 2", "the 1\nis the 7"] and entry["real"] == {"target": [0, 1]}
    assert "The first 2 of 2 mistakes among 12 test pictures" in entry["caption"]
    # Both domains: the first of each class, where there are labels.
    grey = replace(tiny.digits(12, 4, channels=1), labels=None)
    entry = panels.domains(writer, target, grey)
    assert entry["real"] == {"source": list(range(10)), "target": list(range(10, 20))}
    sheet = torch.from_numpy(np.array(Image.open(tmp_path / entry["file"]))).permute(2, 0, 1)
    both = torch.cat([target.images[:10], grey.images[:10].expand(-1, 3, -1, -1)])
    assert torch.equal(sheet, grid(both, 10))
