"""A run as an object (what `genshift.train` returns) and a model to ask (`genshift.load`)."""

import os
import re
import shutil
import sys
from pathlib import Path

import faces_tiny
import numpy as np
import pytest
import tiny
import torch
from data_files import png
from PIL import Image

import genshift
from genshift.data import load_named
from genshift.errors import Refusal

pytestmark = pytest.mark.usefixtures("quick")
SMALL = {"size": 16, "width": 8, "batch": 4, "images": 16, "precision": "float32"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of four steps of every kind, by name: a classifier of digits, attributes, a VAE, a GAN with classes."""
    root = tmp_path_factory.mktemp("objects")
    faces = str(faces_tiny.write_portraits(root / "portraits"))
    digits = tiny.write_domain(root / "one", 0), tiny.write_domain(root / "two", 1)
    small = {"batch_source": 4, "batch_target": 4, "images": 16, "precision": "float32"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genshift.training.train.CHECKS", 2)
        patch.setattr("genshift.runs.files._sync", lambda path: None)
        made = {
            "digits": genshift.train("demo-source", root / "digits", source=digits[0], target=digits[1], **small),
            "attributes": genshift.train("faces-attributes", root / "attributes", data=faces, evaluate=False, **SMALL),
            "vae": genshift.train(
                "faces-vae", root / "vae", data=faces, latent=8, prior="normal", evaluate=False, **SMALL
            ),
            "gan": genshift.train("faces-gan", root / "gan", data=faces, latent=8, condition="classes", **SMALL),
        }
    return made


@pytest.fixture(scope="module")
def digits(runs):
    """The classifier of digits, opened."""
    return genshift.load(runs["digits"])


@pytest.fixture
def folder(tmp_path):
    """Twenty digits of 28 pixels as PNG files, and as arrays."""
    return tiny.write_flat(tmp_path / "pictures", 3), tiny.digits(20, 3).images


# --- asking a model -------------------------------------------------------------------------------------------------


def test_one_picture_in_every_form_gets_the_same_answer(digits, folder, tmp_path):
    path, tensors = folder
    file = path / "007.png"
    array = tensors[7].permute(1, 2, 0).numpy()
    expected = digits.predict(path)[7]
    assert expected.name == "007.png" and expected.label in digits.classes and 0 < expected.confidence <= 1
    for given in (file, str(file), Image.open(file), array, tensors[7]):
        answer = digits.predict(given)
        assert (answer.label, answer.confidence) == (expected.label, pytest.approx(expected.confidence, abs=1e-6))
    assert digits.embed(file).shape == (512,)
    assert np.allclose(digits.embed(path)[7], digits.embed(Image.open(file)), atol=1e-5)


def test_further_pages_of_one_picture_are_told(digits, folder, tmp_path):
    pages = [Image.open(file) for file in sorted(folder[0].iterdir())[:3]]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    assert digits.read(tmp_path / "scan.tif")[0].notes == ("scan.tif: not read: 2 further page(s).",)
    assert digits.read(folder[0] / "007.png")[0].notes == ()


def test_several_pictures_in_every_form_get_a_list_of_answers(digits, folder):
    path, tensors = folder
    expected = [answer.label for answer in digits.predict(path)]
    files = sorted(path.iterdir())
    arrays = tensors.permute(0, 2, 3, 1).numpy()
    images, _ = load_named(path)
    for given in (tensors, arrays, list(arrays), files, [Image.open(file) for file in files], iter(files), images):
        assert [answer.label for answer in digits.predict(given)] == expected
    assert [answer.name for answer in digits.predict(files[:2])] == ["000.png", "001.png"]
    assert [answer.name for answer in digits.predict(arrays[:2])] == ["0", "1"]
    assert len(digits.predict(arrays[:1])) == 1 and digits.embed(arrays[:3]).shape == (3, 512)


def test_grey_colour_alpha_and_any_size(digits):
    grey = np.full((40, 60), 200, np.uint8)
    shapes = [grey, grey[..., None], np.stack([grey] * 3, -1), torch.from_numpy(grey), torch.from_numpy(grey)[None]]
    answers = [digits.embed(shape) for shape in shapes]
    assert all(np.allclose(answer, answers[0], atol=1e-5) for answer in answers)
    assert digits.embed(np.stack([grey] * 5)).shape == (5, 512), "grey pictures, one after the other"
    transparent = Image.new("RGBA", (30, 50), (0, 0, 0, 0))
    assert np.allclose(digits.embed(transparent), digits.embed(Image.new("L", (28, 28), 255)), atol=1e-5)
    for mode in ("CMYK", "P", "1", "YCbCr"):
        assert digits.embed(Image.new("RGB", (28, 28), "white").convert(mode)).shape == (512,)


def test_a_picture_that_is_asked_about_stays_as_it_is(digits):
    turned = Image.new("RGB", (20, 30))
    turned.getexif()[0x0112] = 6  # lies on its side
    before = (turned.size, dict(turned.getexif()))
    digits.predict(turned)
    assert (turned.size, dict(turned.getexif())) == before


def test_a_data_set_and_a_split_by_name(digits, domains):
    answers = digits.predict("uci", split="test")
    assert len(answers) == 200 and len(digits.embed(domains[0], split="test")) == 20


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "No picture was given"),
        (np.zeros((28, 28)), "are uint8, 0 to 255, not float64: convert them first"),
        (np.zeros((2, 28, 28, 7), np.uint8), r"An array of the shape \[28, 28, 7\] is no picture"),
        (np.zeros(28, np.uint8), r"An array of the shape \[28\] is no picture"),
        ("uzi", "There is no data set 'uzi': did you mean 'uci'"),
        ("./nowhere.png", r"There is no folder or file \./nowhere\.png"),
        ([Path("nowhere.png")], r"nowhere\.png is no picture that can be read"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(given, says, digits):
    with pytest.raises(Refusal, match=says):
        digits.predict(given)


def test_a_broken_file_is_refused_in_a_sentence(digits, tmp_path):
    (tmp_path / "broken.png").write_bytes(png(np.zeros((28, 28, 3), np.uint8))[:60])
    with pytest.raises(Refusal, match=r"broken\.png is no picture that can be read"):
        digits.predict(tmp_path / "broken.png")


def test_attributes_are_probabilities_by_name(runs, folder):
    model = genshift.load(runs["attributes"])
    one, several = model.predict(folder[0] / "003.png"), model.predict(folder[0])
    assert one.keys() == {"Male", "Smiling"} and all(0 <= value <= 1 for value in one.values())
    assert len(several) == 20 and several[3] == pytest.approx(one, abs=1e-6)


def test_a_generator_draws(runs, tmp_path):
    model = genshift.load(runs["gan"])
    drawn = model.sample(5, seed=3)
    assert [picture.size for picture in drawn] == [(16, 16)] * 5
    assert [picture.tobytes() for picture in model.sample(2, seed=3)] == [p.tobytes() for p in drawn[:2]]
    genshift.sample(runs["gan"], 5, tmp_path / "files", seed=3)
    files = sorted((tmp_path / "files").glob("0*.png"))
    assert [Image.open(file).tobytes() for file in files] == [picture.tobytes() for picture in drawn]
    by_name, by_number = model.sample(3, label="sea & sky"), model.sample(3, label_index=1)
    assert [p.tobytes() for p in by_name] == [p.tobytes() for p in by_number]
    with pytest.raises(Refusal, match="There is no class 'sea': did you mean 'sea & sky'"):
        model.sample(1, label="sea")


def test_a_vae_reconstructs_embeds_and_draws(runs, folder):
    model = genshift.load(runs["vae"])
    file = folder[0] / "000.png"
    assert model.reconstruct(file).size == (16, 16) and model.embed(file).shape == (8,)
    assert len(model.reconstruct(folder[0])) == 20 and len(model.sample(2)) == 2


@pytest.mark.parametrize(
    ("name", "asked", "says"),
    [
        ("gan", lambda model, file: model.predict(file), "it predicts no labels; name a run that learnt classes"),
        ("gan", lambda model, file: model.embed(file), "it has no encoder"),
        ("gan", lambda model, file: model.reconstruct(file), "it reconstructs nothing; name a VAE's run"),
        ("digits", lambda model, file: model.reconstruct(file), "it reconstructs nothing; name a VAE's run"),
        ("digits", lambda model, file: model.sample(3), "it draws no pictures; name a generator's run"),
        ("vae", lambda model, file: model.predict(file), "it predicts no labels"),
    ],
)
def test_a_run_of_another_kind_says_so(name, asked, says, runs, folder):
    with pytest.raises(Refusal, match=says):
        asked(genshift.load(runs[name]), folder[0] / "000.png")


def test_a_model_says_what_it_is(runs, digits):
    assert repr(digits).startswith("<genshift model demo-source: trained on ")
    assert "10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9); images-" in repr(digits)
    assert "2 attributes (Male, Smiling)" in repr(genshift.load(runs["attributes"]))
    assert digits._repr_html_() == f"<p>{repr(digits)[1:-1]}</p>"
    model = genshift.load(runs["gan"])
    assert model.classes == ("land", "sea & sky")
    shown = model._repr_html_()
    assert "sea &amp; sky" in shown and 'alt="16 pictures" src="data:image/png;base64,' in shown


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"has no config\.json: it is not a run folder"):
        genshift.load(tmp_path)


# --- a run ----------------------------------------------------------------------------------------------------------


def test_a_run_is_its_folder_and_what_came_of_it(runs, tmp_path):
    run = runs["digits"]
    assert run.finished and run.path == Path(os.fspath(run)) and run.config["preset"]["name"] == "demo-source"
    assert run.results["oracle/target_test_accuracy"]["n"] == 20 and run.warnings == []
    assert run.model.predict(np.zeros((28, 28), np.uint8)).label in tiny.DIGITS and run.model is run.model
    assert "demo-source, 16 of 16 images" in repr(run) and "oracle/target_test_accuracy 0." in repr(run)
    shown = run._repr_html_()
    assert "<th>protocol</th>" in shown and "<td>oracle/target_test_accuracy</td>" in shown
    page = run.page()
    assert page == run.path / "page.html" and "Source only" in page.read_text()
    assert run.page(str(tmp_path / "other.html")) == tmp_path / "other.html"
    assert len(genshift.compare([run])) == 1


def test_a_generators_run_shows_what_it_drew(runs):
    run = runs["gan"]
    assert {"classes", "images-000000000016"} <= run.pictures.keys()
    assert all(picture.size[0] >= 16 for picture in run.pictures.values())
    shown = run._repr_html_()
    assert re.search(r'<figure><img alt="[^"]+" src="data:image/png;base64,[^"]+"><figcaption>', shown)


def test_a_run_that_was_not_begun_or_not_evaluated(runs, tmp_path):
    run = genshift.Run(tmp_path / "nothing")
    assert not run.finished and run.results == {} and run.warnings == [] and run.pictures == {}
    assert repr(run) == f"<genshift run {tmp_path / 'nothing'}: not begun>" and "not begun" in run._repr_html_()
    assert runs["vae"].results == {} and "<table>" not in runs["vae"]._repr_html_()


def test_a_stopped_run_is_not_finished_and_the_same_call_continues(domains, tmp_path):
    def call(**more):
        source, target = map(str, domains)
        small = {"batch_source": 4, "batch_target": 4, "images": 24, "precision": "float32"}
        return genshift.train(
            "demo-dann", str(tmp_path / "run"), source=source, target=target, evaluate=False, **small, **more
        )

    stopped = call(observers=[tiny.StopAt(12)])
    assert not stopped.finished and "of 24 images" in repr(stopped)
    assert call().finished


def test_training_takes_strings_and_paths_and_numbers_as_they_come(domains, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"batch_source": 4, "batch_target": np.int64(4), "images": 8.0, "lr": 1, "precision": "float32"}
    run = genshift.train("demo-source", "run", source=domains[0], target=str(domains[1]), evaluate=False, **small)
    fields = run.config["preset"]["fields"]
    assert (fields["source"], fields["target"]) == tuple(map(str, domains))
    assert [repr(fields[name]) for name in ("images", "batch_target", "lr")] == ["8", "4", "1.0"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bacth_source": 3}, "There is no option 'bacth_source': did you mean 'batch_source'"),
        ({"sed": 3}, "There is no option 'sed': did you mean 'seed'"),
        ({"lr": "fast"}, "--lr takes a number, not 'fast'"),
        ({"images": 2.5}, "--images takes a whole number, not 2.5"),
        ({"source": 3}, "--source takes a name or a path, not 3"),
        ({"colour": "pink"}, "There is no colour called 'pink'"),
        ({"lr": -1}, "--lr must be above 0"),
        ({"images": 8, "minutes": 1}, "images and minutes both name the budget"),
    ],
)
def test_a_wrong_keyword_gets_the_command_lines_sentence(given, says, tmp_path):
    with pytest.raises(Refusal, match=re.escape(says)):
        genshift.train("demo-dann", tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_a_method_needs_its_two_sets(tmp_path):
    with pytest.raises(Refusal, match="adamatch is a method: give it two sets"):
        genshift.train("adamatch", tmp_path / "run")
    with pytest.raises(Refusal, match="There is no preset 'adamacth': did you mean 'adamatch'"):
        genshift.train("adamacth", tmp_path / "run")
    with pytest.raises(Refusal, match="learns from your own folders"):
        genshift.train("adapt", tmp_path / "run")


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no UTF-8")
def test_pictures_whose_names_are_no_utf_8(runs, folder, tmp_path, capfd):
    """Nothing of the work is lost: text files hold their bytes escaped, arrays hold the names as they are."""
    pictures = tmp_path / "odd"
    pictures.mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(folder[0] / "000.png", pictures / name)
    assert genshift.predict(runs["digits"], pictures, tmp_path / "labels.csv")[0][0] == name
    assert "note: 1 of the names are no UTF-8, such as caf\\udce9.png" in capfd.readouterr().err
    genshift.embed(runs["digits"], pictures, tmp_path / "features.npz")
    assert np.load(tmp_path / "features.npz")["names"].tolist() == [name]
    genshift.reconstruct(runs["vae"], pictures, tmp_path / "out")
    for file in ("labels.csv", "out/errors.csv"):
        assert (tmp_path / file).read_text("utf-8").splitlines()[1].startswith("caf\\udce9.png,")
