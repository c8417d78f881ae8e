"""Self-training on pretrained features: its parts against closed forms, and the whole road by the command line."""

import json

import numpy as np
import pytest
import tiny
import torch
from data_files import png
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from tiny import refused, told

from genshift.cli import main
from genshift.methods.self_training import SelfTraining, neighbourhood, propagated, surest
from genshift.nets.pretrained import PretrainedBackbone
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run
from genshift.training.road import colourful

pytestmark = pytest.mark.usefixtures("quick")


# --- its parts ------------------------------------------------------------------------------------------------------


def test_the_surest_of_each_class_are_taken_and_one_at_least():
    answers = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.45, 0.55]])
    assert surest(answers, 0.5).tolist() == [True, True, False, False, True]
    assert surest(answers, 1.0).all()


def test_the_graph_is_the_papers():
    """D^-1/2 W D^-1/2 of (A + Aᵀ)/2, by numpy."""
    x = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    unit = (x / x.norm(dim=1, keepdim=True)).numpy()
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    a = np.zeros((40, 40))
    for row, nearest in enumerate(np.argsort(-cosine, 1)[:, :3]):
        a[row, nearest] = np.exp((cosine[row, nearest] - 1) / 0.1)
    w = (a + a.T) / 2
    d = w.sum(1) ** -0.5
    np.testing.assert_allclose(neighbourhood(x, 3).to_dense().numpy(), d[:, None] * w * d, rtol=1e-10)


def test_propagation_is_the_linear_system_solved():
    """Z = (1 - α)(I - α S)^-1 Y (arXiv 1904.04717, equation 8)."""
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(30, k, dtype=torch.float64, generator=generator) for k in (5, 3))
    y, graph = y.softmax(1), neighbourhood(x, 4)
    z = np.linalg.solve(np.eye(30) - 0.8 * graph.to_dense().numpy(), 0.2 * y.numpy())
    np.testing.assert_allclose(propagated(y, graph, 0.8).numpy(), z / z.sum(1, keepdims=True), atol=2e-3)


# --- the road -------------------------------------------------------------------------------------------------------


COLOURS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (210, 50, 50)}


def write_pictures(folder, seed, each, darker=0, sides=(30, 50)):
    """Class folders of noisy pictures of one colour a class, of several sizes."""
    generator = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            side = int(generator.integers(*sides))
            noise = generator.normal(0, 25, (side, side, 3))
            pixels = (np.array(colour) - darker + noise).clip(0, 255).astype(np.uint8)
            (folder / name / f"{number:02}.png").write_bytes(png(pixels))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(source, target, weights)."""
    root = tmp_path_factory.mktemp("road")
    target = write_pictures(root / "target", 1, 12, darker=40)
    return write_pictures(root / "source", 0, 20), target, tiny.write_squeezenet(root / "weights.safetensors")


def words(folders, run, *more):
    source, target, weights = folders
    own = ("--source", source, "--target", target, "--weights", weights, "--size", 32, "--precision", "float32")
    return ("train", "adapt", *own, "--out", run, *more)


def test_adapt_with_weights_from_folders_to_labels(folders, tmp_path, capfd):
    run, (_, target, weights) = tmp_path / "run", folders
    assert main.main([str(word) for word in words(folders, run)]) == 0
    said = capfd.readouterr()
    lines = [line for line in said.err.splitlines() if "note:" not in line]
    assert lines[0].startswith(f"adapt takes the road with pretrained weights, since --weights {weights} names them")
    assert "squeezenet1_1 at 32 pixels" in lines[0] and "oracle/target_test_accuracy" in said.out
    config = json.loads((run / "config.json").read_text())
    assert (config["preset"]["name"], config["images"]) == ("adapt-photos", 704)
    # Every picture's features, once.
    held = load_file(run / "features.safetensors")
    assert held["features"].shape == (96, 512) and held["contents"].shape == (96, 16)
    # A run needs its weights no more, and is finished.
    moved = folders[2].rename(tmp_path / "elsewhere")
    try:
        assert main.main([str(word) for word in words(folders, run)]) == 0
        assert "nothing to train" in capfd.readouterr().err
    finally:
        moved.rename(weights)
    results = json.loads(told(capfd, "evaluate", run, "--json"))
    assert results["oracle/target_test_accuracy"]["value"] > 0.9
    # Of few labelled pictures each is held out once, and shares have exact intervals.
    crossed = results["source_cross_fitted_accuracy"]
    assert crossed["n"] == 60 and crossed["interval"][0] < crossed["value"] <= crossed["interval"][1]
    assert crossed["value"] > 0.9 and results["oracle/target_test_accuracy"]["interval"][0] < 0.97
    assert f"({crossed['interval'][0]:.3f} to {crossed['interval'][1]:.3f})" in (run / "card.md").read_text()
    told(capfd, "predict", run, target, "--out", tmp_path / "labels.csv")
    rows = (tmp_path / "labels.csv").read_text().splitlines()
    right = [line.partition("/")[0] == line.split(",")[1] for line in rows[1:]]
    assert len(right) == 36 and sum(right) > 32
    told(capfd, "report", run, "--out", tmp_path / "page.html")
    assert "Self-training on pretrained features" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    """A run of the road, and the features that were computed for it."""
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main.main([str(word) for word in words(folders, run, "--no-evaluate")]) == 0
    return run


def test_features_that_are_kept_are_not_computed_again(folders, trained, tmp_path, monkeypatch):
    passed = []
    raw = PretrainedBackbone.raw
    monkeypatch.setattr(PretrainedBackbone, "raw", lambda self, x: (passed.append(len(x)), raw(self, x))[1])
    method = open_run(RunFolder(trained)).method
    from genshift.data import load

    images = load(folders[1], "train", size=32).images
    passed.clear()
    first = method.predict(images)
    assert passed == [] and len(first) == 36
    other = images.flip(-1)
    method.predict(torch.cat([images[:3], other]))
    method.predict(other)
    assert sum(passed) == len(other)  # each new picture once
    # By the network itself it is the same answer.
    (trained / "features.safetensors").rename(tmp_path / "kept")
    passed.clear()
    torch.testing.assert_close(open_run(RunFolder(trained)).method.predict(images), first, atol=1e-5, rtol=1e-4)
    assert sum(passed) >= len(images)
    (tmp_path / "kept").rename(trained / "features.safetensors")


def test_features_of_other_weights_are_not_taken(trained, folders):
    method = open_run(RunFolder(trained)).method
    assert isinstance(method, SelfTraining)
    held = method.kept.read(method._weights())
    assert len(held) == 96
    with torch.no_grad():
        next(method.networks["extractor"].net.parameters()).add_(0.01)
    assert method.kept.read(method._weights()) == {}


@pytest.mark.parametrize("wrong", ["cut", "shape", "nan"])
def test_a_damaged_file_of_features_is_told(trained, folders, wrong, tmp_path, capfd):
    path = trained / "features.safetensors"
    whole = path.read_bytes()
    try:
        if wrong == "cut":
            path.write_bytes(whole[:100])
        else:
            from genshift.runs import checkpoint

            held = checkpoint.load(path)
            held.tensors["features"] = (
                held.tensors["features"][1:] if wrong == "shape" else held.tensors["features"] / 0
            )
            checkpoint.save(path, held)
        assert "features.safetensors" in refused(capfd, "predict", trained, folders[1], "--out", tmp_path / "x.csv")
    finally:
        path.write_bytes(whole)


def preset_of(folders):
    from genshift import presets

    own = dict(zip(("source", "target", "weights"), map(str, folders), strict=True))
    return presets.get("adapt-photos").replaced(**own, size=32, precision="float32")


def test_the_head_is_the_optimum_and_each_domain_is_standardised(folders, tmp_path):
    """After the first round, which learns from the source alone: scikit-learn's solution of the same problem."""
    run = RunFolder(tmp_path / "run")
    assert tiny.train(preset_of(folders), run.path, images=64)
    first = tiny.last(run.path)
    method = open_run(run).method
    from genshift.data import load
    from genshift.runs.manifest import remembered

    source = load(folders[0], "train", size=32)
    known = remembered(run)["source"]
    source = known.arranged(source, "source")
    raw = method._raw(source.images)[known.trained_on].double().numpy()
    x = (raw - raw.mean(0)) / np.sqrt(raw.var(0).clip(1e-3 * raw.var(0).mean()) + 1e-5)
    y = source.labels[known.trained_on].numpy()
    fit = LogisticRegression(C=1 / (0.1 * len(y)), max_iter=5_000, tol=1e-10).fit(x, y)
    own = first["network/predictor/weight"].double().numpy()
    np.testing.assert_allclose(own @ x.T, fit.coef_ @ x.T, atol=0.15)
    target = method.embed(load(folders[1], "train", size=32).images)
    assert target.mean(0).abs().max() < 1e-2 and target.var(0, unbiased=False).max() < 1.01


def test_a_run_stopped_and_continued_ends_as_an_undisturbed_one(folders, tmp_path):
    preset, whole, parted = preset_of(folders), tmp_path / "whole", tmp_path / "parted"
    assert tiny.train(preset, whole)
    assert tiny.train(preset, parted, observers=[tiny.StopAt(192)]) is False
    (parted / "features.safetensors").unlink()  # a cache, and no more
    assert tiny.train(preset, parted) is True
    assert tiny.different(tiny.last(whole), tiny.last(parted)) == []


def test_the_file_says_which_squeezenet_it_is(folders, tmp_path, capfd):
    other = tiny.write_squeezenet(tmp_path / "one.safetensors", "squeezenet1_0")
    run = tmp_path / "run"
    assert main.main([str(w) for w in words((*folders[:2], other), run, "--no-evaluate", "--images", 128)]) == 0
    assert json.loads((run / "config.json").read_text())["preset"]["fields"]["backbone"] == "squeezenet1_0"


def test_what_it_cannot_rest_on_is_refused(folders, tmp_path, capfd):
    source, target, weights = folders
    pair = ("--source", source, "--target", target, "--out", tmp_path / "run")
    said = refused(capfd, "train", "self-training", *pair, "--backbone", "squeezenet1_1", last_line=True)
    assert "rests on what a backbone has learnt: give --weights FILE" in said
    assert "There is no file" in refused(capfd, "train", "adapt", *pair, "--weights", tmp_path / "none.pth")
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    said = refused(capfd, "train", "adapt", *pair, "--weights", tmp_path / "x.safetensors", last_line=True)
    assert "are not those of squeezenet1_1 for 3 channel(s): 50 of 50 tensors" in said
    assert "--prior" in refused(capfd, "train", "adapt", *pair, "--weights", weights, "--prior", "even")


def test_from_scratch_adapt_says_what_weights_would_change(folders, tmp_path, capfd):
    source, target, _ = folders
    given = ("--source", source, "--target", target, "--images", 64, "--no-evaluate", "--select", "last")
    assert main.main(["train", "adapt", *map(str, given), "--out", str(tmp_path / "a")]) == 0
    said = capfd.readouterr().err
    assert "adapt takes the road from scratch, since no --weights are given" in said
    assert "These look like photographs or drawings" in said and "--weights download" in said


def test_digits_do_not_look_like_photographs():
    assert not colourful(tiny.digits(20, 0, channels=1).images)
    flat = torch.zeros(20, 3, 32, 32, dtype=torch.uint8)
    flat[:, :, 8:20, 8:20] = 200
    assert not colourful(flat)
    assert colourful(torch.randint(0, 256, (20, 3, 64, 64), dtype=torch.uint8))


def test_the_whole_network_goes_on_from_there(folders, trained, tmp_path, capfd):
    """By a method that keeps statistics of each domain, as the first run does; its backbone then moves slowly."""
    source, target, weights = folders
    given = ("--source", source, "--target", target, "--from", trained, "--weights", weights, "--images", 64)
    own = ("--backbone", "squeezenet1_1", "--size", 32, "--precision", "float32", "--ema-half-life", 0)
    told(capfd, "train", "mcc", *given, *own, "--lr-warmup", 0, "--out", tmp_path / "whole", "--no-evaluate")
    before, after = tiny.last(trained), tiny.last(tmp_path / "whole")
    key = "network/extractor/net.features.0.weight"
    assert 0 < (before[key] - after[key]).abs().max() < 2e-4  # a step of AdamW at a tenth of 1e-3
    head = "network/predictor/weight"
    assert 5e-4 < (before[head] - after[head]).abs().max() < 2e-3
