"""What becomes of a trained generator: pictures over training, measures beside independent ones, warnings."""

import json
import math
import shutil

import faces_tiny
import numpy as np
import pytest
import tiny
import torch
from faces_tiny import SIDE, read, tiles
from safetensors.torch import load_file
from tiny import of_pictures, refused

from genshift import api
from genshift.cli import main
from genshift.data import open_packed
from genshift.errors import Refusal
from genshift.evaluation import evaluate, feature_distance, gan, generation
from genshift.evaluation.findings import Findings
from genshift.evaluation.latent_space import measure_stages
from genshift.evaluation.options import EvaluationOptions
from genshift.evaluation.reconstruction_changes import measure_changes
from genshift.evaluation.vae import VAEEvaluation
from genshift.metrics.kid import kid
from genshift.metrics.linear_probe import linear_probe
from genshift.metrics.neighbours import nearest_rows
from genshift.runs import checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.png import grid, write_png
from genshift.runs.results import Measure
from genshift.runs.trained_run import open_run
from genshift.sampling.trained_generator import open_generator
from genshift.training import train as training
from genshift.training.console import Console
from genshift.training.train import Settings

LAST = 32  # images of a run of faces_tiny; its checks are at 8, 16, 24, 32


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return faces_tiny.Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def judged(studio):
    """A GAN, a VAE and a conditional VAE evaluated in a classifier's features: results and evaluation by name."""
    found = {}
    for name in ("gan", "vae", "vae-classes"):
        results = api.evaluate(studio[name], features=studio["judge"])
        found[name] = results, json.loads((studio[name] / "evaluation.json").read_text())
    return found


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_a_grid_goes_row_by_row_with_white_gaps():
    images = torch.arange(5 * 3 * 4 * 6).reshape(5, 3, 4, 6).remainder(200).to(torch.uint8)
    sheet = grid(images, 3)
    assert sheet.shape == (3, 2 * 6 + 2, 3 * 8 + 2)
    assert torch.equal(sheet[:, 2:6, 2:8], images[0]) and torch.equal(sheet[:, 8:12, 10:16], images[4])
    inside = torch.zeros(sheet.shape[1:], dtype=torch.bool)
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        inside[2 + 6 * row : 6 + 6 * row, 2 + 8 * column : 8 + 8 * column] = True
    assert (sheet[:, ~inside] == 255).all()
    assert grid(images[:2], 8).shape == (3, 8, 18), "no wider than what there is"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_what_was_written(channels, tmp_path):
    image = torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8)
    write_png(tmp_path / "new" / "a.png", image)
    seen = read(tmp_path / "new" / "a.png")
    assert np.array_equal(seen.reshape(5, 7, channels), image.permute(1, 2, 0).numpy())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


# --- over training ----------------------------------------------------------------------------------------------------


def test_each_check_leaves_a_grid_from_the_same_noise(studio):
    samples = studio["gan"] / "samples"
    checks = sorted(path.name for path in samples.glob("images-*"))
    assert checks == [f"images-{images:012}.png" for images in (8, 16, 24, 32)]
    assert (samples / checks[-1]).read_bytes() == (samples / "grid.png").read_bytes(), "the last is the final one"
    assert (samples / checks[0]).read_bytes() != (samples / checks[-1]).read_bytes()
    assert len(tiles(samples / "grid.png", columns=8)) == 32


def test_a_vae_keeps_the_same_pictures_latent_vectors(studio):
    samples = studio["vae"] / "samples"
    kept = sorted(samples.glob("latents-*"))
    assert [int(path.stem.rpartition("-")[2]) for path in kept] == [8, 16, 24, 32]
    held_out = open_packed(studio.data / "test").images
    means, log_variances = open_run(RunFolder(studio["vae"])).method.encode(held_out)
    held = load_file(kept[-1])
    assert torch.equal(held["latents"], means) and torch.equal(held["log_variances"], log_variances)
    assert read(samples / f"images-{LAST:012}.png").tolist() == read(samples / "prior-normal.png").tolist()
    assert read(samples / "grid.png").tolist() != read(samples / "prior-normal.png").tolist(), "the prior changes it"


@pytest.mark.parametrize("name", ["faces-gan", "faces-vae"])
def test_looking_changes_nothing_and_a_continued_run_leaves_the_same_pictures(name, studio, quick, tmp_path):
    preset = of_pictures(name, studio.data, size=SIDE, width=8, latent=8, images=24)
    folders = {run: tmp_path / run for run in ("unseen", "whole", "parted")}
    training.train(preset, folders["unseen"], Settings())
    settings = Settings(observers=[tiny.StopAt(12)])
    assert tiny.train_and_evaluate(preset, folders["whole"], Settings(), EvaluationOptions(draw=False)) is True
    assert tiny.train_and_evaluate(preset, folders["parted"], settings, EvaluationOptions(draw=False)) is False
    assert not (folders["parted"] / "samples" / "grid.png").exists()
    assert tiny.train_and_evaluate(preset, folders["parted"], Settings(), EvaluationOptions(draw=False)) is True
    assert tiny.different(tiny.last(folders["unseen"]), tiny.last(folders["whole"])) == []
    whole, parted = (faces_tiny.written(folders[run] / "samples") for run in ("whole", "parted"))
    assert whole == parted and len(whole) >= 5


# --- measures ---------------------------------------------------------------------------------------------------------

COSTS = {"cpu_minutes", "images_per_second", "seconds_per_image"}
STEADY = {"discriminator_loss_spread", "alarmed"}
GAN = COSTS | {"frechet", "precision", "recall", "sharpness", "nearest_train", "copies", "repeats"}
CODED = {"reconstruction_mse", "psnr", "ssim", "border_colour_kept", "middle_colour_kept", "way_round_kept"}
LATENT = {f"latent_{kind}/{at}" for kind in ("probe", "kl_with", "kl_without") for at in ("first", "middle", "last")}
NAMES = {
    "gan": GAN | STEADY,
    "vae": GAN | CODED | LATENT | {"frechet_normal_prior"},
    "vae-classes": GAN | CODED | LATENT | {"frechet_normal_prior", "class_accuracy"},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_measure_has_its_count_error_floor_and_protocol(name, judged):
    results, _ = judged[name]
    assert set(results) == NAMES[name]
    for measure in results.keys() - CODED - LATENT - STEADY - COSTS:
        found = results[measure]
        assert math.isfinite(found["value"]) and found["std"] >= 0 and math.isfinite(found["floor"]), measure
        assert found["n"] == 20 and "20 samples" in found["protocol"] and "3 series" in found["protocol"], measure
    assert "in the 64 features of faces-attributes, seed 0, pictures at 16 px" in results["frechet"]["protocol"]
    for measure in CODED & results.keys():
        assert results[measure]["n"] == 20 and "20 held-out pictures at 16 px" in results[measure]["protocol"]


def features_of(studio, pictures):
    return open_run(RunFolder(studio["judge"])).method.embed(pictures).double().numpy()


def frechet_by_nuclear_norm(a, b):
    """Heusel et al. 2017, equation 6; the trace of the root is the nuclear norm of the centred sets' product."""
    x, y = a - a.mean(0), b - b.mean(0)
    cross = np.linalg.norm(x @ y.T, "nuc") / math.sqrt((len(x) - 1) * (len(y) - 1))
    spread = (x**2).sum() / (len(x) - 1) + (y**2).sum() / (len(y) - 1)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + spread - 2 * cross


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_the_frechet_distance_is_that_of_the_samples_and_halves(name, studio, judged):
    """The reference and the other half are all of the 40 training pictures; the samples are those of `sample`."""
    results, _ = judged[name]
    method = open_generator(RunFolder(studio[name])).method
    train = open_packed(studio.data / "train").images
    sides = generation.draw_series(open_packed(studio.data / "train"), method, generation.MOST, Console(False))
    reference, other = (features_of(studio, half) for half in (sides.reference, sides.other))
    halves = torch.cat([sides.reference, sides.other]).flatten(1).tolist()
    assert sorted(halves) == sorted(train.flatten(1).tolist()), "the two halves are the training set"
    each = [frechet_by_nuclear_norm(reference, features_of(studio, method.sample(20, seed))) for seed in range(3)]
    assert results["frechet"]["value"] == pytest.approx(np.mean(each), rel=1e-3, abs=1e-6)
    assert results["frechet"]["std"] == pytest.approx(np.std(each, ddof=1), rel=2e-2, abs=1e-6)
    assert results["frechet"]["floor"] == pytest.approx(frechet_by_nuclear_norm(reference, other), rel=1e-3, abs=1e-6)


def test_the_normal_prior_is_measured_beside_the_mixture(studio, judged):
    results, _ = judged["vae"]
    method = open_generator(RunFolder(studio["vae"])).method
    sides = generation.draw_series(open_packed(studio.data / "train"), method, generation.MOST, Console(False))
    reference = features_of(studio, sides.reference)
    plain = VAEEvaluation().plain(method)
    each = [frechet_by_nuclear_norm(reference, features_of(studio, plain.sample(20, seed))) for seed in range(3)]
    assert results["frechet_normal_prior"]["value"] == pytest.approx(np.mean(each), rel=1e-3, abs=1e-6)
    assert "N(0, I)" in results["frechet_normal_prior"]["protocol"]
    assert method.preset.prior == "mixture", "the run's own prior stays"


def test_nearest_training_pictures_by_brute_force(studio, judged):
    results, _ = judged["gan"]
    method = open_generator(RunFolder(studio["gan"])).method
    train, test = (open_packed(studio.data / split).images.numpy() / 255 for split in ("train", "test"))

    def distances(pictures):
        views = np.stack([pictures, pictures[..., ::-1]])
        return np.sqrt(((views[:, :, None] - train) ** 2).sum((3, 4, 5))).min(0).min(1)

    def median(values):
        return np.sort(values)[(len(values) - 1) // 2]

    ratios = [median(distances(method.sample(20, s).numpy() / 255)) / median(distances(test)) for s in range(3)]
    assert results["nearest_train"]["value"] == pytest.approx(np.mean(ratios), rel=1e-4)
    real = torch.from_numpy(test)
    rows = nearest_rows(real, torch.from_numpy(train), 3, mirrored=real.flip(-1))
    shown = tiles(studio["gan"] / "samples" / "neighbours.png", columns=8)
    assert rows.shape == (20, 3) and len(shown) == 32
    squared = ((test[:, None] - train) ** 2).sum((2, 3, 4))
    mirrored = ((test[:, None, ..., ::-1] - train) ** 2).sum((2, 3, 4))
    assert rows.tolist() == np.argsort(np.minimum(squared, mirrored), 1, kind="stable")[:, :3].tolist()
    assert np.array_equal(shown[0].transpose(2, 0, 1), method.sample(1, 0)[0].numpy())


@pytest.mark.parametrize("name", ["vae", "vae-classes"])
def test_reconstructions_are_measured_on_held_out_pictures(name, studio, judged):
    results, evaluation = judged[name]
    test = open_packed(studio.data / "test")
    method = open_run(RunFolder(studio[name])).method
    decoded = method.reconstruct(test.images, test.labels if name == "vae-classes" else None).double().numpy()
    errors = ((test.images.numpy() / 255 - decoded) ** 2).mean((1, 2, 3))
    found = results["reconstruction_mse"]
    assert found["value"] == pytest.approx(errors.mean(), rel=1e-6)
    assert found["std"] == pytest.approx(errors.std(ddof=1) / math.sqrt(20), rel=1e-6)
    assert results["psnr"]["value"] == pytest.approx((-10 * np.log10(errors)).mean(), rel=1e-6)
    assert evaluation["panel_mse"] == pytest.approx(errors[:10].tolist(), rel=1e-6)
    panel = tiles(studio[name] / "samples" / "reconstructions.png", columns=10)
    assert all(np.array_equal(panel[i].transpose(2, 0, 1), test.images[i].numpy()) for i in range(10))
    assert np.abs(panel[10].transpose(2, 0, 1) / 255 - decoded[0]).max() < 1 / 255


PICTURES = {
    "gan": ["grid", "interpolation", "neighbours"],
    "vae": ["grid", "prior-normal", "interpolation", "arithmetic", "neighbours", "reconstructions"],
    "vae-classes": ["grid", "classes", "prior-normal", "interpolation", "neighbours", "reconstructions"],
}


@pytest.mark.parametrize("name", NAMES)
def test_the_evaluation_names_every_picture(name, studio, judged):
    _, evaluation = judged[name]
    assert [entry["file"] for entry in evaluation["pictures"]] == [f"samples/{each}.png" for each in PICTURES[name]]
    for entry in evaluation["pictures"]:
        assert read(studio[name] / entry["file"]).shape[2] == 3 and entry["title"] and entry["caption"].endswith(".")
    assert [entry["images"] for entry in evaluation["snapshots"]] == [8, 16, 24, 32]
    assert all((studio[name] / entry["file"]).is_file() for entry in evaluation["snapshots"])
    assert evaluation["features"] == "faces-attributes, seed 0" and evaluation["drawn"] is True


def test_stages_are_the_first_the_middle_and_the_last_check(studio, judged):
    _, evaluation = judged["vae"]
    assert evaluation["attribute"] == "Male"
    assert [stage["images"] for stage in evaluation["stages"]] == [8, 24, 32]
    male = open_packed(studio.data / "test").attribute("Male").int().tolist()
    for stage in evaluation["stages"]:
        assert stage["label"] == male and len(stage["x"]) == len(stage["y"]) == 20
    assert "stages" not in judged["gan"][1]


def test_the_ends_of_an_interpolation_are_reconstructions(studio):
    test = open_packed(studio.data / "test").images
    decoded = open_run(RunFolder(studio["vae"])).method.reconstruct(test[:8])
    walks = tiles(studio["vae"] / "samples" / "interpolation.png", columns=8)
    assert len(walks) == 32
    for row in range(4):
        for place, picture in ((8 * row, 2 * row), (8 * row + 7, 2 * row + 1)):
            difference = np.abs(walks[place].transpose(2, 0, 1) / 255.0 - decoded[picture].numpy())
            assert difference.max() < 1.01 / 255


def test_arithmetic_moves_along_the_difference_of_means(studio):
    method = open_run(RunFolder(studio["vae"])).method
    train, test = (open_packed(studio.data / split) for split in ("train", "test"))
    latents, male = method.embed(train.images), train.attributes[:, 0] == 1
    direction = latents[male].mean(0) - latents[~male].mean(0)
    moved = method.decode(method.embed(test.images[:1]) + 2 * direction)[0].numpy()
    shown = tiles(studio["vae"] / "samples" / "arithmetic.png", columns=8)
    assert len(shown) == 16, "two faces of four steps, a row for Male and one for Smiling"
    assert np.abs(shown[3].transpose(2, 0, 1) / 255.0 - moved).max() < 1.01 / 255


# --- what was asked for -----------------------------------------------------------------------------------------------


def test_an_evaluation_is_current_with_all_that_is_asked_for(studio, judged, tmp_path):
    run = RunFolder(studio["vae"])
    assert evaluate.is_current(run, EvaluationOptions()) and evaluate.is_current(
        run, EvaluationOptions(features=studio["judge"])
    )
    assert not evaluate.is_current(run, EvaluationOptions(download=True))
    assert studio.train("judge", tmp_path / "other", "--seed", 1) == 0
    assert not evaluate.is_current(run, EvaluationOptions(features=tmp_path / "other"))
    assert not evaluate.is_current(RunFolder(studio["gan-classes"]), EvaluationOptions(features=studio["judge"]))


def test_measures_of_an_earlier_checkpoint_do_not_stay(studio, tmp_path):
    assert studio.train("gan", tmp_path / "run") == 0
    run = RunFolder(tmp_path / "run")
    evaluate.evaluate(run.path, EvaluationOptions(features=studio["judge"]))
    again = evaluate.evaluate(run.path, EvaluationOptions(draw=False))
    assert "frechet" in again and run.read("evaluation.json")["features"] == "faces-attributes, seed 0"
    run.write("evaluation.json", {**run.read("evaluation.json"), "images": 16})
    assert "frechet" not in evaluate.evaluate(run.path, EvaluationOptions())
    assert "features" not in run.read("evaluation.json")


def test_inceptions_measures_go_beside_the_others(studio, tmp_path, monkeypatch):
    """A stand-in for the network, which the machine of the tests does not have."""
    means = torch.nn.AdaptiveAvgPool2d(2)

    def network(images):
        return means(images.float()).flatten(1)

    network.published = True
    monkeypatch.setattr(feature_distance, "load_inception", lambda *given, **more: network)
    assert studio.train("gan", tmp_path / "run") == 0
    results = api.evaluate(tmp_path / "run", download=True)
    assert {"fid", "kid", "inception_precision", "inception_recall"} <= results.keys()
    assert all(isinstance(results[name]["floor"], float) for name in ("fid", "kid", "inception_precision"))
    assert "resized from 16 to 299 px" in results["fid"]["protocol"] and "frechet" not in results
    method = open_generator(RunFolder(tmp_path / "run")).method
    sides = generation.draw_series(open_packed(studio.data / "train"), method, generation.MOST, Console(False))
    real, fake = (network(p).double().numpy() for p in (sides.reference, sides.series[0]))
    assert abs(results["fid"]["value"] - frechet_by_nuclear_norm(real, fake)) < 4 * results["fid"]["std"] + 1e-6


def test_without_inception_a_line_says_so_and_the_rest_is_measured(studio, monkeypatch, capfd, tmp_path):
    def absent(*given, **more):
        raise Refusal("Its weights are not here.")

    monkeypatch.setattr(feature_distance, "load_inception", absent)
    assert studio.train("gan", tmp_path / "run") == 0
    assert main.main(["evaluate", str(tmp_path / "run"), "--download"]) == 0
    said = capfd.readouterr()
    names = "fid, kid, inception_precision, inception_recall"
    assert f"warning: Not measured: {names}. Its weights are not here." in said.out
    assert "sharpness " in said.out and "\nfid " not in said.out


def test_faces_are_looked_for_in_celeba(studio, monkeypatch):
    train = open_packed(studio.data / "train")
    sides = feature_distance.RealAndGenerated(train.images[:2], train.images[2:4], [bright(100)] * 3, "words")
    run, preset = RunFolder(studio["gan"]), of_pictures("faces-gan", "celeba")
    method = open_run(run).method
    found = Findings(())
    context = generation.EvaluationContext(run, preset, method, train, None, Console(), sides, found)
    monkeypatch.setattr(generation, "has_face", lambda images: images.float().mean((1, 2, 3)) > 127)
    generation.measure_pictures(context)
    rate = found.results.pop("face_rate")
    truth = (train.images.float().mean((1, 2, 3)) > 127).double().mean().item()
    assert (rate.value, rate.n, rate.floor) == (0.25, 100, pytest.approx(truth)) and 0 < truth < 1
    assert rate.std == pytest.approx(math.sqrt(0.25 * 0.75 / 100))

    def absent(images):
        raise Refusal("dlib is not installed: pip install 'genshift[faces]'.")

    monkeypatch.setattr(generation, "has_face", absent)
    generation.measure_pictures(context)
    assert set(found.results) == {"sharpness", "seconds_per_image"}
    assert found.refused == ["Not measured: face_rate. dlib is not installed: pip install 'genshift[faces]'."]


def bright(count):
    """Dark pictures, a quarter of them bright."""
    images = torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8)
    images[::4] = 255
    return images


def test_warnings_name_what_lasted_and_what_the_measures_say(tmp_path):
    run = RunFolder(tmp_path)
    for images, alarms in ((100, []), (200, ["generator collapsed"]), (300, ["generator collapsed"]), (400, [])):
        run.append("metrics.jsonl", {"images": images, **({"alarms": alarms} if alarms else {})})
    measured = {"copies": Measure(0.2, 100, "", floor=0.0), "face_rate": Measure(0.5, 100, "", floor=0.95)}
    collapsed, memorised, faces = generation.warnings_of(run, measured)
    assert "Generator collapsed" in collapsed and "2 readings between 200 and 300 images" in collapsed
    assert "20.0%" in memorised and "50.0%" in faces and "95.0%" in faces
    well = {"copies": Measure(0.005, 100, "", floor=0.0), "face_rate": Measure(0.9, 100, "", floor=0.95)}
    well["recall"] = Measure(0.3, 100, "", floor=0.8)
    (tmp_path / "metrics.jsonl").unlink()
    assert generation.warnings_of(run, well) == []
    # A recall of 0 is no variety, whatever the pictures look like.
    (variety,) = generation.warnings_of(run, {**well, "recall": Measure(0.0, 100, "", floor=0.8)})
    assert variety.startswith("Little variety: 0.0% of the real pictures") and "80.0%" in variety
    # Noise: hardly any picture is of the class that was asked for.
    (noise,) = generation.warnings_of(run, {**well, "class_accuracy": Measure(0.13, 100, "", floor=0.97)})
    assert noise.startswith("Few of the class that was asked for: the classifier finds it in 13.0% of samples, in 97")
    assert generation.warnings_of(run, {**well, "class_accuracy": Measure(0.95, 100, "", floor=0.97)}) == []


def test_a_flat_folder_without_held_out_pictures_is_enough(tmp_path, quick):
    folder = tiny.write_flat(tmp_path / "photos", 0, count=10)
    preset = of_pictures("faces-vae", folder, size=SIDE, width=8, latent=8, images=8)
    assert tiny.train_and_evaluate(preset, tmp_path / "run", Settings(), EvaluationOptions()) is True
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    names = [entry["file"] for entry in evaluation["pictures"]]
    assert names == [f"samples/{each}.png" for each in ("grid", "prior-normal", "interpolation", "neighbours")]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert "sharpness" in results and "nearest_train" not in results and "reconstruction_mse" not in results


def test_weights_that_are_named_and_broken_end_the_evaluation(studio, monkeypatch, tmp_path, capfd):
    """Before anything is drawn; of a study, before anything is trained."""

    def broken(*given, **more):
        raise Refusal("broken.pth holds more than weights.")

    (tmp_path / "broken.pth").write_bytes(b"broken")
    monkeypatch.setattr(feature_distance, "load_inception", broken)
    monkeypatch.setattr(generation.LatentGeneratorEvaluation, "measure", lambda *given: pytest.fail("measured"))
    flags = ["--weights", tmp_path / "broken.pth"]
    assert "holds more than weights" in refused(capfd, "evaluate", studio["gan"], *flags)
    assert "holds more than weights" in refused(capfd, "study", "faces", *flags, "--out", tmp_path / "study")
    assert "the study adaptation draws none" in refused(
        capfd, "study", "adaptation", *flags, "--out", tmp_path / "study"
    )
    assert not (tmp_path / "study").exists()


# --- what a reconstruction changes, and the latent space over training ------------------------------------------------


def test_attributes_that_a_reconstruction_changes_are_counted_beside_what_the_judge_gets_wrong(studio, quick):
    judge = feature_distance.classifier_space(studio["attributes"])
    held_out = open_packed(studio.data / "test")
    found, decoded = Findings(()), held_out.images.flip(0)  # each is taken for another
    measure_changes(found, judge, held_out, decoded)
    method = open_run(RunFolder(studio["attributes"])).method
    before, after = (method.predict(images) > 0.5 for images in (held_out.images, decoded))
    rows = found.record["attribute_changes"]
    assert [row["attribute"] for row in rows] == ["Male", "Smiling"] and all(row["n"] == 20 for row in rows)
    assert [row["flipped"] for row in rows] == (before != after).double().mean(0).tolist()
    errs = (before != held_out.attributes.bool()).double().mean(0)
    assert [row["judge_errs"] for row in rows] == errs.tolist()
    flips = found.results["attribute_flips"]
    assert flips.value == pytest.approx((before != after).double().mean().item())
    assert flips.n == 20 and flips.floor == pytest.approx(errs.mean().item())
    # Of what is not changed, nothing is; and of a judge that knows no attributes nothing is said.
    measure_changes(found, judge, held_out, held_out.images)
    assert found.results["attribute_flips"].value == 0 and found.results["border_colour_kept"].value == pytest.approx(1)
    plain = Findings(())
    measure_changes(plain, feature_distance.classifier_space(studio["judge"]), held_out, decoded)
    assert set(plain.results) == {"border_colour_kept", "middle_colour_kept", "way_round_kept"} and plain.refused == []


def test_what_an_earlier_judge_found_of_attributes_stays_where_none_is_asked_for(studio, tmp_path, quick):
    assert studio.train("vae", tmp_path / "vae") == 0
    judged = api.evaluate(tmp_path / "vae", features=studio["attributes"], draw=False)
    rows = json.loads((tmp_path / "vae" / "evaluation.json").read_text())["attribute_changes"]
    kept = api.evaluate(tmp_path / "vae", draw=False)
    assert kept["attribute_flips"]["value"] == judged["attribute_flips"]["value"]
    assert json.loads((tmp_path / "vae" / "evaluation.json").read_text())["attribute_changes"] == rows


def test_a_latent_space_is_probed_at_three_stages_and_old_runs_have_no_variances(studio, tmp_path, quick):
    run, held_out = RunFolder(studio["vae"]), open_packed(studio.data / "test")
    found, has = Findings(()), held_out.attribute("Male") > 0
    measure_stages(found, run, held_out)
    means, log_variances = open_run(run).method.encode(held_out.images)
    last = found.results["latent_kl_with/last"]
    drawn = means[has].double().var(0, correction=0) + log_variances[has].double().exp().mean(0)
    expected = 0.5 * (drawn + means[has].double().mean(0) ** 2 - 1 - drawn.log()).sum()
    assert last.value == pytest.approx(expected.item()) and last.n == 10 and last.floor == 8 / 10
    assert found.results["latent_probe/last"].value == linear_probe(means, has.long())[0]
    assert "after 8 images" in found.results["latent_probe/first"].protocol
    # As 0.2 kept them.
    shutil.copytree(run.path, tmp_path / "old")
    for path in (tmp_path / "old" / "samples").glob("latents-*"):
        checkpoint.save(path, checkpoint.Checkpoint({"latents": load_file(path)["latents"]}, {"images": 8}))
    old = Findings(())
    measure_stages(old, RunFolder(tmp_path / "old"), held_out)
    assert set(old.results) == {f"latent_probe/{stage}" for stage in ("first", "middle", "last")} and not old.refused


def test_a_gans_grids_are_measured_as_the_pictures_they_were_made_of(studio, judged, tmp_path, quick):
    run = RunFolder(studio["gan"])
    drawn = open_run(run).method.sample(32, seed=0)
    assert torch.equal(gan.read_grid(run.path / "samples" / "grid.png", SIDE), drawn)
    judge, held_out = feature_distance.classifier_space(studio["judge"]), open_packed(studio.data / "test")
    rows = judged["gan"][1]["over_training"]
    assert [row["images"] for row in rows] == [8, 16, 24, 32] and all(row["n"] == 32 for row in rows)
    assert rows[-1]["kernel_distance"] == pytest.approx(kid(judge.embed(held_out.images), judge.embed(drawn)))
    assert "face_rate" not in rows[-1], "nobody knows that these are faces"
    # Many checks are looked at here and there, the first and the last among them; a foreign picture is refused.
    shutil.copytree(run.path, tmp_path / "many")
    for images in range(1, 60):
        shutil.copy(run.path / "samples" / "grid.png", tmp_path / "many" / "samples" / f"images-{images:012}.png")
    looked = gan.at_checks(gan.grids_of(RunFolder(tmp_path / "many"), SIDE), None, None)
    assert len(looked) == 20 and (looked[0]["images"], looked[-1]["images"]) == (1, 59)
    write_png(tmp_path / "foreign.png", drawn[0])
    with pytest.raises(Refusal, match="no grid of 32 pictures of 16 px"):
        gan.read_grid(tmp_path / "foreign.png", SIDE)
