"""Distances of two sets of pictures: `genshift evaluate --pictures A --reference B`."""

import json

import faces_tiny
import pytest
import tiny
import torch
from data_files import png
from faces_tiny import SIDE, portraits
from tiny import refused, told

from genshift import api
from genshift.data import open_packed
from genshift.errors import Refusal
from genshift.evaluation import feature_distance, two_sets
from genshift.evaluation.feature_distance import IN_CLASSIFIER, FeatureSpace, classifier_space
from genshift.metrics.frechet import frechet, statistics
from genshift.metrics.kid import kid
from genshift.metrics.manifold import precision_recall


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return faces_tiny.Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve pictures in a folder, at the side of the tiny runs."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(portraits(12, 5).images):
        (folder / f"{number:02}.png").write_bytes(png(image.permute(1, 2, 0).numpy()))
    return folder


@pytest.fixture(autouse=True)
def no_waiting(quick):
    """Files are written as they are, without waiting for the disk."""


def test_the_distances_are_those_of_the_whole_sets(studio, folder, tmp_path, capfd):
    words = ["evaluate", "--pictures", folder, "--reference", studio.data, "--features", studio["judge"]]
    results = json.loads(told(capfd, *words, "--json", "--out", tmp_path / "new" / "found.json"))
    assert json.loads((tmp_path / "new" / "found.json").read_text()) == results
    space, train = classifier_space(studio["judge"]), open_packed(studio.data / "train")
    real, drawn = space.embed(train.images), space.embed(portraits(12, 5).images)
    assert results["frechet"]["value"] == pytest.approx(frechet(statistics(real), statistics(drawn)))
    assert results["kernel_distance"]["value"] == pytest.approx(kid(real, drawn))
    one, other = (real[rows] for rows in two_sets.even_halves(torch.zeros(40, dtype=torch.int64), 40))
    assert results["frechet"]["floor"] == pytest.approx(frechet(statistics(one), statistics(other)))
    some = real[torch.from_numpy(two_sets.fixed_sample(40, 12, 0))]
    found = [results[name]["value"] for name in ("precision", "recall")]
    assert found == pytest.approx(precision_recall(some, drawn)), "these depend on both counts"
    assert "12 pictures of pictures" in results["frechet"]["protocol"].replace(folder.name, "pictures")
    assert "against 40 of portraits, its part train (colour, 16×16 px)" in results["frechet"]["protocol"]
    assert "against 12 of portraits" in results["recall"]["protocol"]
    assert all("two halves of the reference, " in entry["protocol"] for entry in results.values())
    assert {entry["n"] for entry in results.values()} == {12}
    line = next(line for line in told(capfd, *words).splitlines() if line.startswith("frechet "))
    assert ", floor " in line and "(n = 12; squared Fréchet distance in the 64 features of faces-attributes" in line


def test_the_frechet_distance_of_one_feature_in_closed_form(studio, tmp_path, monkeypatch):
    """(μ₁ − μ₂)² + (σ₁ − σ₂)², the feature being a picture's brightness."""
    for name, values in (("a", [10, 20, 30, 40]), ("b", [50, 70, 90, 110, 130, 150, 170, 190])):
        (tmp_path / name).mkdir()
        for number, value in enumerate(values):
            picture = torch.full((SIDE, SIDE, 3), value, dtype=torch.uint8)
            (tmp_path / name / f"{number}.png").write_bytes(png(picture.numpy()))
    space = FeatureSpace(lambda images: images[:, :1, 0, 0].double(), "brightness", SIDE, "none", IN_CLASSIFIER)
    monkeypatch.setattr(two_sets, "classifier_space", lambda *asked: space)
    results = api.evaluate(pictures=tmp_path / "a", reference=str(tmp_path / "b"), features=studio["judge"])
    expected = (25 - 120) ** 2 + ((500 / 3) ** 0.5 - 2400**0.5) ** 2
    assert results["frechet"]["value"] == pytest.approx(expected)


def test_a_run_as_reference_stands_for_what_it_is_measured_against(studio, folder, tmp_path):
    trained_on = api.evaluate(pictures=folder, reference=studio["gan"], features=studio["judge"])
    assert "against 40 of portraits's training pictures" in trained_on["frechet"]["protocol"]
    unseen = api.evaluate(pictures=folder, reference=studio["judge"])
    assert "faces-attributes, seed 0" in unseen["frechet"]["protocol"], "a classifier has features of its own"
    assert "against 20 of portraits, test images" in unseen["frechet"]["protocol"]
    domains = tiny.write_domain(tmp_path / "one", 0), tiny.write_domain(tmp_path / "two", 1)
    api.train(tiny.tiny("demo-source", domains), tmp_path / "run", images=8, evaluate=False)
    target = api.evaluate(pictures=folder, reference=tmp_path / "run", features=studio["judge"])
    assert "against 20 of" in target["frechet"]["protocol"] and "test images" in target["frechet"]["protocol"]


def test_too_few_pictures_end_one_measure_or_all(studio, folder, tmp_path, capfd):
    few = tmp_path / "few"
    for count, left in ((1, []), (3, ["frechet", "kernel_distance"])):
        tiny.write_flat(few, 0, count=count)
        words = ["evaluate", "--pictures", few, "--reference", folder, "--features", studio["judge"]]
        if left:
            capfd.readouterr()
            results = api.evaluate(pictures=few, reference=folder, features=studio["judge"])
            assert list(results) == left
            assert "warning: Not measured: precision, recall. There are 3 images" in capfd.readouterr().err
        else:
            sentence = refused(capfd, *words, last_line=True)
            assert f"{few} could not be compared. Not measured: frechet. There are 1 images" in sentence


def test_pictures_that_show_nothing_are_measured_and_that_is_told(studio, folder, tmp_path, capfd):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(png(torch.zeros(SIDE, SIDE, 3, dtype=torch.uint8).numpy()))
    capfd.readouterr()
    results = api.evaluate(pictures=tmp_path, reference=folder, features=studio["judge"])
    assert results["precision"]["value"] == 0
    assert "shows nothing: 12 of 12 pictures looked at are of one colour, black" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Give a run to evaluate, or pictures and a reference"),
        (["--pictures", "A"], "Give a run to evaluate, or pictures and a reference"),
        (["GAN", "--reference", "A"], "Give a run to evaluate, or pictures and a reference"),
        (["GAN", "--size", "8"], "size goes with pictures and a reference"),
        (["GAN", "--out", "x.json"], "out goes with pictures and a reference"),
        (["--pictures", "A", "--reference", "A", "--steps", "4"], "steps is of how a run draws"),
        (["--pictures", "A", "--reference", "A"], "by --features RUN, or Inception's weights by --weights FILE"),
        (["--pictures", "A", "--reference", "GAN"], "by --features RUN, or Inception's weights by --weights FILE"),
        (["--pictures", "GAN", "--reference", "A", "--features", "JUDGE"], "is a run: `genshift evaluate"),
        (["--pictures", "A", "--reference", "JUDGE", "--size", "8"], "at whose own size pictures are compared"),
        (["--pictures", "A", "--reference", "A", "--features", "GAN"], "name a classifier's run"),
    ],
)
def test_what_cannot_be_compared_is_refused(words, sentence, studio, folder, capfd):
    places = {"A": folder, "GAN": studio["gan"], "JUDGE": studio["judge"]}
    assert sentence in refused(capfd, "evaluate", *(places.get(word, word) for word in words))


def test_beside_inception_each_set_has_its_own_size(studio, folder, tmp_path, monkeypatch):
    """A stand-in for the network, which the machine of the tests does not have."""
    means = torch.nn.AdaptiveAvgPool2d(2)

    def network(images):
        return means(images.float()).flatten(1)

    network.published = True
    monkeypatch.setattr(feature_distance, "load_inception", lambda *given, **more: network)
    results = api.evaluate(pictures=tiny.write_flat(tmp_path / "other", 0), reference=folder, download=True)
    assert set(results) == {"fid", "kid", "inception_precision", "inception_recall"}
    protocol = results["fid"]["protocol"]
    assert "(colour, 28×28 px) against 12 of" in protocol and "(colour, 16×16 px), brought to 299 px" in protocol
    # Sizes that differ within a set are not guessed away.
    (tmp_path / "other" / "large.png").write_bytes(png(torch.zeros(40, 40, 3, dtype=torch.uint8).numpy()))
    with pytest.raises(Refusal, match=r"differ in size .* give --size"):
        api.evaluate(pictures=tmp_path / "other", reference=folder, download=True)
    results = api.evaluate(pictures=tmp_path / "other", reference=folder, download=True, size=16)
    assert "21 pictures of other (colour, 16×16 px)" in results["fid"]["protocol"]
