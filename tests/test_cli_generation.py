"""Drawing, reconstructing, embedding and measuring from the command line."""

import csv
import json
import shutil

import faces_tiny
import numpy as np
import pytest
import tiny
import torch
from faces_tiny import CLASSES, read, tiles, written
from tiny import refused, told

from genshift import api
from genshift.cli import main
from genshift.data import open_packed
from genshift.errors import Refusal
from genshift.runs.folder import RunFolder
from genshift.sampling import write_samples
from genshift.sampling.trained_generator import open_generator


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return faces_tiny.Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(autouse=True)
def no_waiting(quick):
    """Files are written as they are, without waiting for the disk."""


def drawn(folder):
    """The numbered pictures of a folder, by name."""
    return {name: data for name, data in written(folder).items() if name[0].isdigit()}


# --- sample -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_the_same_seed_gives_the_same_pictures_whatever_the_count(name, studio, tmp_path, capfd):
    said = told(capfd, "sample", studio[name], "--count", 60, "--out", tmp_path / "many")
    following = f"next: genshift evaluate {studio[name]}"
    assert said.splitlines() == [f"{tmp_path / 'many'}: 60 pictures and grid.png.", following]
    told(capfd, "sample", studio[name], "--count", 7, "--out", tmp_path / "few")
    told(capfd, "sample", studio[name], "--count", 9, "--first", 45, "--out", tmp_path / "later")
    told(capfd, "sample", studio[name], "--count", 7, "--seed", 1, "--out", tmp_path / "other")
    many, few, later, other = (drawn(tmp_path / run) for run in ("many", "few", "later", "other"))
    assert list(many) == [f"{number:05}.png" for number in range(60)]
    assert few == {f"{number:05}.png": many[f"{number:05}.png"] for number in range(7)}
    assert later == {f"{number:05}.png": many[f"{number:05}.png"] for number in range(45, 54)}
    assert other.keys() == few.keys() and all(other[name] != few[name] for name in few)
    assert len(set(many.values())) == 60, "no two alike"


def test_the_grid_shows_the_first_thirty_two(studio, tmp_path, capfd):
    told(capfd, "sample", studio["gan"], "--count", 40, "--first", 3, "--out", tmp_path / "many")
    shown = tiles(tmp_path / "many" / "grid.png", columns=8)
    assert len(shown) == 32
    for place, picture in enumerate(shown):
        assert np.array_equal(picture, read(tmp_path / "many" / f"{3 + place:05}.png"))
    told(capfd, "sample", studio["gan"], "--count", 2, "--out", tmp_path / "few")
    assert len(tiles(tmp_path / "few" / "grid.png", columns=2)) == 2


@pytest.mark.parametrize("name", ["gan-classes", "vae-classes"])
def test_a_label_by_name_or_place_or_all_in_turn(name, studio, tmp_path, capfd):
    for folder, label in (("sea", ["--label", "sea & sky"]), ("one", ["--label-index", 1]), ("all", [])):
        told(capfd, "sample", studio[name], "--count", 4, *label, "--out", tmp_path / folder)
    sea, one, both = (drawn(tmp_path / folder) for folder in ("sea", "one", "all"))
    assert sea == one and list(sea) == ["00000.png", "00001.png", "00002.png", "00003.png"]
    assert list(both) == ["00000_land.png", "00001_sea-sky.png", "00002_land.png", "00003_sea-sky.png"]
    if name == "gan-classes":  # the noise of a picture is its number's; the mixture's depends on the label too
        assert both["00001_sea-sky.png"] == sea["00001.png"] and both["00000_land.png"] != sea["00000.png"]
    method = open_generator(RunFolder(studio[name])).method
    assert np.array_equal(read(tmp_path / "sea" / "00003.png"), method.sample(1, 0, 3, 1)[0].permute(1, 2, 0).numpy())


def test_two_processes_draw_what_one_does(studio, tmp_path, capfd):
    words = ["sample", str(studio["gan"]), "--count", "170", "--first", "20", "--out"]
    told(capfd, *words, tmp_path / "one")
    done = tiny.torchrun("-m", "genshift", *words, tmp_path / "two")
    following = f"next: genshift evaluate {studio['gan']}"
    assert done.stdout.splitlines() == [f"{tmp_path / 'two'}: 170 pictures and grid.png.", following], "said once"
    assert written(tmp_path / "one") == written(tmp_path / "two")


def test_what_was_stopped_is_continued_without_drawing_twice(studio, tmp_path, capfd, monkeypatch):
    """Ctrl-C while the fourth picture is written; what half-written files a killed process leaves are removed."""
    words = ["sample", str(studio["gan"]), "--count", "120", "--out"]
    told(capfd, *words, tmp_path / "whole")
    out, write = tmp_path / "parted", write_samples.write_png

    def interrupted(path, image):
        if path.name == "00060.png":
            raise KeyboardInterrupt
        write(path, image)

    monkeypatch.setattr(write_samples, "write_png", interrupted)
    assert main.main([*words, str(out)]) == 130
    assert list(drawn(out)) == [f"{number:05}.png" for number in range(60)] and not list(out.glob(".*"))
    tiny.litter(out / "00060.png").write_bytes(b"half")
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("0*.png")}
    chunks = []
    monkeypatch.setattr(write_samples, "write_png", lambda path, image: (chunks.append(path.name), write(path, image)))
    told(capfd, *words, out)
    assert written(out) == written(tmp_path / "whole")
    assert chunks == [*(f"{number:05}.png" for number in range(60, 120)), "grid.png"]
    assert all((out / name).stat().st_mtime_ns == time for name, time in before.items())


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        ("gan", ["--count", 0], "--count must be above 0, not 0."),
        ("gan", ["--count", 10**9], "--count must be at most 10,000,000"),
        ("gan", ["--count", 1, "--first", -1], "--first must be 0 or more, not -1."),
        ("gan", [], "--count"),
        ("gan", ["--count", 1, "--label", "land"], "of no particular class: leave --label out"),
        ("gan-classes", ["--count", 1, "--label", "lnad"], "There is no class 'lnad': did you mean 'land'?"),
        ("gan-classes", ["--count", 1, "--label", 2], "There is no class '2': expected one of land, sea & sky;"),
        ("gan-classes", ["--count", 1, "--label", -1], "There is no class '-1'"),
        ("gan-classes", ["--count", 1, "--label", "lnad"], "expected one of land, sea & sky; --label-index takes"),
        (
            "gan-classes",
            ["--count", 1, "--label-index", 2],
            "--label-index goes from 0 to 1, not 2: expected one",
        ),
        ("gan-classes", ["--count", 1, "--label-index", -1], "--label-index goes from 0 to 1, not -1"),
        (
            "gan-classes",
            ["--count", 1, "--label-index", 0, "--label", "land"],
            "both name the class: give one",
        ),
        ("gan", ["--count", 1, "--label-index", 0], "of no particular class: leave --label-index out"),
        ("judge", ["--count", 1], "is a classifier of the classes of portraits"),
    ],
)
def test_wrong_orders_are_refused(name, flags, sentence, studio, tmp_path, capfd):
    assert sentence in refused(capfd, "sample", studio[name], *flags, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_of_other_things_are_refused(studio, tmp_path, capfd):
    out = tmp_path / "out"
    words = ["sample", studio["gan"], "--count", 2, "--out", out]
    told(capfd, *words)
    before = written(out)
    assert "pictures of the seed 0, not 1: name another --out" in refused(capfd, *words, "--seed", 1)
    assert "pictures of the run faces-gan" in refused(capfd, "sample", studio["vae"], "--count", 2, "--out", out)
    told(capfd, "sample", studio["gan-classes"], "--count", 2, "--label", "land", "--out", tmp_path / "land")
    again = ["sample", studio["gan-classes"], "--count", 2, "--label-index", 1, "--out", tmp_path / "land"]
    assert "pictures of the label land, not sea & sky" in refused(capfd, *again)
    (out / "mine.png").write_bytes(b"mine")
    assert "holds mine.png, which is no sample" in refused(capfd, *words)
    (out / "mine.png").unlink()
    assert written(out) == before
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "00000.png").write_bytes(b"mine")
    assert "holds other files" in refused(capfd, *words[:-1], tmp_path / "others")
    assert "is a file" in refused(capfd, *words[:-1], out / "grid.png")
    assert "not a run folder" in refused(capfd, "sample", out, "--count", 1, "--out", tmp_path / "new")


def test_other_weights_are_another_series(studio, tmp_path, capfd):
    run, words = tmp_path / "run", ["--count", 2, "--out", tmp_path / "out"]
    assert studio.train("gan", run) == 0
    told(capfd, "sample", run, *words)
    shutil.rmtree(run)
    assert studio.train("gan", run, "--lr", 0.01) == 0
    assert "pictures of the sha256" in refused(capfd, "sample", run, *words)


def test_a_mixture_that_was_not_fitted_is_asked_for(studio, tmp_path, capfd):
    run = shutil.copytree(studio["vae"], tmp_path / "run")
    (run / "prior.safetensors").unlink()
    words = ["sample", run, "--count", 2, "--out", tmp_path / "out"]
    assert f"`genshift evaluate {run}` fits it" in refused(capfd, *words)
    told(capfd, "evaluate", run)
    told(capfd, *words)
    told(capfd, "sample", studio["vae"], "--count", 2, "--out", tmp_path / "same")
    assert drawn(tmp_path / "out") == drawn(tmp_path / "same"), "the same mixture is fitted again"


def test_the_python_verbs(studio, tmp_path):
    paths = api.sample(studio["gan-classes"], 3, tmp_path / "drawn", label_index=0, seed=2)
    assert paths == [tmp_path / "drawn" / f"{number:05}.png" for number in range(3)] and all(map(read_whole, paths))
    with pytest.raises(Refusal, match="There is no class '0'"):
        api.sample(studio["gan-classes"], 3, tmp_path / "drawn", label=0)
    rows = api.reconstruct(studio["vae"], studio.data, tmp_path / "seen", split="test")
    assert len(rows) == 20 and rows[3][0] == "3" and 0 < rows[3][1] < 1 and rows[3][3] <= 1


def read_whole(path):
    return read(path).shape == (16, 16, 3)


# --- reconstruct, embed, predict --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vae", "vae-classes"])
def test_reconstructions_come_with_their_errors(name, studio, tmp_path, capfd):
    out = tmp_path / "out"
    said = told(capfd, "reconstruct", studio[name], studio.data, "--split", "test", "--out", out)
    test = open_packed(studio.data / "test").images.permute(0, 2, 3, 1).numpy()
    with (out / "errors.csv").open(newline="") as file:
        head, *rows = list(csv.reader(file))
    assert head == ["image_name", "mse", "psnr", "ssim"] and [row[0] for row in rows] == [str(n) for n in range(20)]
    for number, (_, mse, psnr, ssim) in enumerate(rows):
        picture = read(out / f"{number:05}.png")
        error = ((picture / 255 - test[number] / 255) ** 2).mean()
        assert float(mse) == pytest.approx(error, rel=0.05), "up to the rounding to bytes"
        assert float(psnr) == pytest.approx(-10 * np.log10(float(mse)), abs=1e-3) and -1 <= float(ssim) <= 1
    pairs = tiles(out / "pairs.png", columns=10)
    assert np.array_equal(pairs[4], test[4]) and np.array_equal(pairs[14], read(out / "00004.png"))
    mean = sum(float(row[1]) for row in rows) / 20
    result, following = said.splitlines()
    assert result == f"{out}: 20 reconstructions; mean squared error {mean:.5f}, each in errors.csv."
    assert following.startswith("next: genshift embed")
    assert sorted(written(out)) == [*(f"{n:05}.png" for n in range(20)), "errors.csv", "pairs.png", "sample.json"]
    # Of other pictures, or beside other files, nothing is written.
    assert "pictures of the images" in refused(
        capfd, "reconstruct", studio[name], studio.data, "--out", out, last_line=True
    )
    (out / "mine.png").write_bytes(b"mine")
    words = ("reconstruct", studio[name], studio.data, "--split", "test", "--out", out)
    again = refused(capfd, *words, last_line=True)
    assert "holds mine.png, which is no sample" in again


def test_a_killed_reconstruction_is_done_again_to_the_same_bits(studio, tmp_path, capfd):
    """Killed as its folder was made, between two pictures, or just before the end."""
    words, whole, out = ["reconstruct", studio["vae"], studio.data, "--out"], tmp_path / "whole", tmp_path / "out"
    told(capfd, *words, whole)
    for left in ([], ["sample.json"], ["sample.json", "00000.png"], [*sorted(written(whole))[:-3], "sample.json"]):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for name in left:
            shutil.copy(whole / name, out)
        tiny.litter(out / "00001.png").write_bytes(b"half")
        told(capfd, *words, out)
        assert written(out) == written(whole)
    assert "holds pictures of another kind" in refused(capfd, "sample", studio["vae"], "--count", 2, "--out", out)


def test_only_a_vae_reconstructs(studio, tmp_path, capfd):
    sentence = refused(capfd, "reconstruct", studio["gan"], studio.data, "--out", tmp_path / "out")
    assert "a generative adversarial network of portraits: it reconstructs nothing; name a VAE's run." in sentence
    photos = tiny.write_flat(tmp_path / "photos", 0, count=2)
    sentence = refused(capfd, "reconstruct", studio["vae-classes"], photos, "--out", tmp_path / "out")
    assert "must know the class" in sentence and not (tmp_path / "out").exists()


def test_any_picture_can_be_reconstructed_and_embedded(studio, tmp_path, capfd):
    """Names are those of the files, in their order; a picture of another size is brought to the run's."""
    photos = tiny.write_flat(tmp_path / "photos", 0, count=3)
    told(capfd, "reconstruct", studio["vae"], photos, "--out", tmp_path / "seen")
    rows = (tmp_path / "seen" / "errors.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["000.png", "001.png", "002.png"]
    assert read(tmp_path / "seen" / "00002.png").shape == (16, 16, 3)
    assert "features 3 × 8.\n" in told(capfd, "embed", studio["vae"], photos, "--out", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz", allow_pickle=False) as file:
        assert file["features"].shape == (3, 8) and file["names"].tolist() == ["000.png", "001.png", "002.png"]
    assert "has no encoder" in refused(capfd, "embed", studio["gan"], photos, "--out", tmp_path / "no.npz")


def test_embedding_is_the_mean_of_the_posterior(studio, tmp_path):
    method = open_generator(RunFolder(studio["vae"])).method
    test = open_packed(studio.data / "test").images
    features = api.embed(studio["vae"], studio.data, split="test")
    assert torch.equal(torch.from_numpy(features), method.encode(test)[0])


def test_attributes_are_predicted_in_columns_and_classes_with_confidence(studio, tmp_path, capfd):
    for name, head in (("attributes", ["Male", "Smiling"]), ("judge", ["label", "confidence"])):
        told(capfd, "predict", studio[name], studio.data, "--split", "test", "--out", tmp_path / f"{name}.csv")
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            first, *rows = list(csv.reader(file))
        assert first == ["image_name", *head] and len(rows) == 20
        if name == "attributes":
            assert all(0 <= float(cell) <= 1 for row in rows for cell in row[1:])
        else:
            assert all(row[1] in CLASSES and 0.5 <= float(row[2]) <= 1 for row in rows)
    sentence = refused(capfd, "predict", studio["gan"], studio.data, "--out", tmp_path / "no.csv", last_line=True)
    assert "it predicts no labels; name a run that learnt classes." in sentence


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluate_prints_every_measure_with_its_floor(studio, capfd):
    text = told(capfd, "evaluate", studio["gan"], "--features", studio["judge"])
    line = next(line for line in text.splitlines() if line.startswith("frechet "))
    assert " ± " in line and ", floor " in line and "(n = 20; squared Fréchet distance in the 64 features" in line
    results = json.loads(told(capfd, "evaluate", studio["gan"], "--features", studio["judge"], "--json"))
    assert results["frechet"]["floor"] >= 0 and results == json.loads((studio["gan"] / "results.json").read_text())
    card = (studio["gan"] / "card.md").read_text()
    assert "| measure | value | std | floor | n | protocol |" in card and "| frechet | " in card
    assert "oracle" not in card


def test_what_cannot_judge_is_refused_before_anything_is_drawn(studio, tmp_path, capfd):
    words = ["evaluate", studio["gan"]]
    assert "name a classifier's run" in refused(capfd, *words, "--features", studio["vae"])
    assert "not a run folder" in refused(capfd, *words, "--features", tmp_path)
    assert "--weights names Inception's weights" in refused(capfd, *words, "--weights", tmp_path / "none.pth")
    assert "did you mean '--features'" in refused(capfd, *words, "--feature_s", "x")


def test_training_says_how_to_get_the_distance(studio, tmp_path, capfd):
    assert studio.train("gan", tmp_path / "run") == 0
    assert f"`genshift evaluate {tmp_path / 'run'} --features RUN` adds the Fréchet" in capfd.readouterr().err


@pytest.mark.parametrize(("label", "index", "place"), [("7", None, 1), (None, 2, 2), (None, None, None)])
def test_a_name_is_a_name_though_it_is_a_number(label, index, place):
    assert write_samples.class_number(label, index, ("3", "7", "100")) == place


@pytest.mark.parametrize("label", ["2", "0", "07", "²"])
def test_a_place_is_no_name(label):
    with pytest.raises(Refusal, match=f"There is no class '{label}': .*expected one of 3, 7, 100; --label-index takes"):
        write_samples.class_number(label, None, ("3", "7", "100"))


def test_a_refusal_names_the_nearest_and_few_of_many_classes():
    with pytest.raises(Refusal, match=r"'c99 ': did you mean 'c99'\? expected one of c0, .*, c19, … \(100 in all\);"):
        write_samples.class_number("c99 ", None, [f"c{number}" for number in range(100)])
