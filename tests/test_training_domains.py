"""What training may see, and what a run is measured on."""

from dataclasses import replace

import pytest
import tiny
import torch

from genshift import api
from genshift.data import load, open_packed, pack
from genshift.evaluation import evaluate
from genshift.evaluation.adaptation import oracle_curve
from genshift.evaluation.labelled_data import evaluation_images
from genshift.evaluation.options import EvaluationOptions
from genshift.runs.files import write_json
from genshift.runs.folder import RunFolder
from genshift.training.domains import hold_out, in_classes, open_domains, open_set
from genshift.training.train import Settings

pytestmark = pytest.mark.usefixtures("quick")


def test_held_out_images_stand_for_every_class_even_in_class_order():
    mixed = tiny.digits(100, 0)
    ordered = mixed.take(mixed.labels.argsort(stable=True))
    _, rows = hold_out(ordered, 0.5)
    assert len(ordered.labels[rows[:20]].unique()) > 6
    train, rows = hold_out(mixed, 0.3)
    assert torch.equal(torch.cat([train, rows]).sort().values, torch.arange(100)) and len(rows) == 30
    assert hold_out(mixed, 0.0) == (None, None)


def test_holding_out_copies_no_image(domains, tmp_path):
    """A memory-mapped set stays one: training draws rows of it."""
    seen = open_domains(tiny.tiny("hw3-dann-svhn-usps", domains, colour="rgb"), None)
    assert seen.labelled.images.untyped_storage().nbytes() >= 40 * 3 * 28 * 28 and len(seen.labelled_rows) == 28
    again = open_packed(domains[0] / "train")
    assert torch.equal(seen.labelled.images, again.images)


def test_labels_are_counted_in_the_classes_of_training():
    some = replace(tiny.digits(4, 0), labels=torch.tensor([0, 1, 0, 1]), classes=("b", "c"))
    assert in_classes(some, ("a", "b", "c")).labels.tolist() == [1, 2, 1, 2]
    assert in_classes(some, ("a", "b")).labels is None, "a class that training never saw"
    assert in_classes(some, ("b", "c")) is some


def test_a_set_without_a_test_part_is_measured_on_images_that_training_did_not_learn(tmp_path):
    folder = tiny.write_classes(tmp_path / "labelled", 0, count=40)
    preset = tiny.tiny("demo-target", (tmp_path / "other", folder), validation=0.25)
    run = RunFolder(tmp_path / "run")  # not begun: its own parting is to come
    images, words = evaluation_images("target", run, preset, None)
    rows, held_out = hold_out(load(folder, size=28), 0.25)
    assert len(images) == len(held_out) == 40 - len(rows) >= 10 and "held-out" in words
    unseen = tiny.tiny("demo-source", (folder, folder.rename(tmp_path / "renamed")), validation=0.25)
    everything, words = evaluation_images("target", run, unseen, None)
    assert len(everything) == 40 and "never saw" in words
    bound = replace(preset, target=str(tmp_path / "renamed"), validation=0.0)
    assert evaluation_images("target", run, bound, None)[0] is None


def test_usps_digits_are_set_into_the_frame_of_mnist(tmp_path, monkeypatch):
    from genshift.training import domains as module

    def load(name, split, *, size, colour, **options):
        return replace(tiny.digits(2, 0), images=torch.full((2, 1, size, size), 255, dtype=torch.uint8)), ["0", "1"]

    monkeypatch.setattr(module, "load_named", load)
    preset = tiny.tiny("hw2-dann-mnistm-usps", (tmp_path / "a", tmp_path / "b"))
    framed, _ = open_set("usps", "train", preset)
    assert framed.images.shape[-1] == 28 and framed.images[0, 0].nonzero().aminmax() == (4, 23)
    full, _ = open_set("usps", "train", replace(preset, frame="full"))
    assert full.images.min() == 255
    assert open_set("svhn", "train", preset)[0].images.min() == 255


def test_an_evaluation_is_redone_after_further_training(domains, tmp_path):
    preset = tiny.tiny("demo-source", domains)
    run = RunFolder(tmp_path / "run")
    tiny.train(preset, run.path, observers=[tiny.StopAt(12)])
    plain, drawn = EvaluationOptions(draw=False), EvaluationOptions()
    evaluate.evaluate(run.path, plain)
    assert evaluate.is_current(run, plain) and not evaluate.is_current(run, drawn)
    tiny.train(preset, run.path)
    assert not evaluate.is_current(run, plain)
    api.train(preset, run.path, images=24)
    assert evaluate.is_current(run, plain)
    (run.path / "results.json").unlink()
    assert not evaluate.is_current(run, plain)


def test_a_target_with_other_subfolders_has_no_oracle(tmp_path):
    source = tiny.write_classes(tmp_path / "labelled", 0)
    for name in ("holiday", "work"):
        tiny.write_flat(tmp_path / "photos" / name, 1)
    preset = tiny.tiny("demo-dann", (source, tmp_path / "photos"), validation=0.2)
    assert api.train(preset, tmp_path / "run", images=8)
    run = RunFolder(tmp_path / "run")
    assert not (run.path / "oracle.jsonl").exists()
    assert not any(name.startswith("oracle") for name in run.read("results.json"))


def test_a_test_part_without_every_class_is_counted_right(tmp_path):
    folder = tmp_path / "labelled"
    for part, classes in (("train", "abc"), ("test", "bc")):
        for number, name in enumerate(classes):
            tiny.write_flat(folder / part / name, number, count=4)
    preset = tiny.tiny("demo-source", (folder, tmp_path / "other"))
    images, _ = evaluation_images("source", RunFolder(tmp_path / "run"), preset, None)
    assert in_classes(images, ("a", "b", "c")).labels.unique().tolist() == [1, 2]


def test_the_oracle_looks_at_a_sample_of_a_large_target(tmp_path):
    """Its test split stands in class order, so that its first images would be of few classes."""
    large = tiny.digits(1_500, 1, channels=1)
    pack(large.take(large.labels.argsort(stable=True)), tmp_path / "target" / "test")
    pack(tiny.digits(20, 1, channels=1), tmp_path / "target" / "train")
    source = tiny.write_domain(tmp_path / "source", 0)
    preset, run = tiny.tiny("demo-source", (source, tmp_path / "target")), RunFolder(tmp_path / "run")
    write_json(run.path / "config.json", {"preset": {}, "seed": 0, "images": 4, "classes": list(tiny.DIGITS)})
    shown = []

    class Looking:
        def predict(self, images):
            shown.append(images)
            return torch.eye(10)[torch.zeros(len(images), dtype=torch.int64)]

    observe = oracle_curve(run, preset, Settings())
    observe(4, Looking())
    observe(8, Looking())
    assert torch.equal(*shown), "the same images each time"
    rows = run.rows("oracle.jsonl")
    # Each class is a tenth of the target: of a sample of 1,000 the first is about as many, of the first 1,000 a sixth.
    assert [row["n"] for row in rows] == [1_000, 1_000] and abs(rows[0]["target_accuracy"] - 0.1) < 0.03
