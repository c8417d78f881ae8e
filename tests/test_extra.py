"""Labelled pictures from elsewhere that join the source's in training, and the generator that draws them."""

import json
from dataclasses import replace

import pytest
import tiny
import torch
from report_fixtures import patch_json, write_run
from tiny import refused, told

from genshift import api, presets
from genshift.data import load, load_named, pack
from genshift.data.feed import Feed, PixelNormalization
from genshift.errors import Refusal
from genshift.presets import Adaptation
from genshift.report.model.grouping import group_runs
from genshift.report.model.run_records import read_runs
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import preset_of
from genshift.sampling.write_samples import FileNames
from genshift.selection import checkpoint_selection
from genshift.training.domains import open_domains
from genshift.training.training_data import open_training_data

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def extra(tmp_path):
    """Class folders, packed: classes 7 and 3 alone, in this order, ten pictures of one grey each above black."""
    shades = torch.arange(200, 210, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 28, 28).clone()
    shades[:, :, 14:] = 0
    some = replace(tiny.digits(10, 0), name="drawn", images=shades, labels=torch.arange(10) % 2, classes=("7", "3"))
    pack(some, tmp_path / "drawn")
    return tmp_path / "drawn"


def drawn_ones(pictures):
    """Which of these the fixture drew."""
    shade = pictures[:, :1, :1, :1]
    return (pictures[:, :, :14] == shade).flatten(1).all(1) & (shade > pictures.max() * 0.7).flatten()


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_extra_pictures_join_the_training_images_alone(validation, extra, domains):
    alone = tiny.tiny("demo-dann", domains, validation=validation)
    preset = alone.replaced(extra=str(extra))
    before, after = (open_training_data(each, None) for each in (alone, preset))
    old, new = before.parts["source"], after.parts["source"]
    assert len(new) == len(old) + 10 and len(after.parts["target"]) == len(before.parts["target"])
    rows = torch.arange(len(new.images)) if new.rows is None else new.rows
    seen, labels = new.images.images[rows], new.images.labels[rows]
    joined = drawn_ones(seen)
    names = [after.classes[label] for label in labels[joined]]
    assert names == ["7", "3"] * 5, "classes go by name, not by number"
    drawn = torch.arange(len(old.images)) if old.rows is None else old.rows
    assert torch.equal(seen[~joined], old.images.images[drawn])
    assert validation == 0 or torch.equal(after.held_out.images, before.held_out.images)
    plain, told = before.describe()["source"], after.describe()["source"]
    assert told["fingerprint"] == plain["fingerprint"] and told["extra"]["n"] == 10 and "extra" not in plain
    assert any(f"10 pictures of {extra} join the source's {len(old)} in training" in note for note in after.notes)


def test_scores_see_real_source_images_alone(extra, domains):
    preset = tiny.tiny("demo-dann", domains, validation=0.5)
    presets = preset, preset.replaced(extra=str(extra))
    one, other = (checkpoint_selection.open_scoring_data(each, None) for each in presets)
    assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("held_out", "labels", "source"))


def test_no_picture_is_missed_in_an_epoch(extra, domains):
    """28 of the source and 10 others: each once in 38 draws, under its own label."""
    parts = open_training_data(tiny.tiny("demo-dann", domains, validation=0.3, extra=str(extra)), None).parts
    assert len(parts["source"]) == 38
    feed = Feed({"source": replace(parts["source"], batch=2)}, PixelNormalization(0.0, 1.0), tiny.FLOAT32, 0)
    batches = [feed.at(seen)["source"] for seen in range(0, 38, 2)]
    x, y = torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches])
    assert len(x.flatten(1).unique(dim=0)) == 38
    grey = drawn_ones(x)
    shades = (x[grey, 0, 0, 0] * 255).round().int().tolist()
    assert dict(zip(shades, y[grey].tolist(), strict=True)) == {200 + place: (7, 3)[place % 2] for place in range(10)}


def test_a_run_counts_and_names_them(extra, domains, tmp_path, capfd):
    words = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--batch-target", 4, "--images", 8]
    told(capfd, "train", "demo-dann", *words, "--extra", extra, "--out", tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    source = run.config["data"]["source"]
    assert (source["n"], source["held_out"], source["extra"]["n"], source["extra"]["name"]) == (48, 2, 10, "drawn")
    assert run.config["preset"]["fields"]["extra"] == str(extra)
    assert "- source: digits-0, 48 images (10 of them from drawn), " in (run.path / "card.md").read_text()
    assert run.read("results.json")["source_test_accuracy"]["n"] == 20
    assert f"begun with --extra {extra}, not " in refused(capfd, "train", "demo-dann", *words, "--out", run.path)
    told(capfd, "train", "demo-dann", *words, "--extra", extra, "--out", run.path)
    images = load(extra)
    pack(replace(images, images=255 - images.images), extra)
    run.saved()[-1].unlink()  # so that there is something to train
    again = ["train", "demo-dann", *words, "--extra", extra, "--out", run.path]
    assert "The source images are not those" in refused(capfd, *again, last_line=True)


def test_runs_of_earlier_versions_have_none():
    config = {"preset": {"family": "adaptation", "name": "demo-dann", "study": "demo", "role": "dann"}}
    fields = presets.get("demo-dann").options()
    del fields["extra"]
    config["preset"] |= {"networks": "hw2", "fields": fields, "origins": {}, "published": {}}
    assert preset_of(config).extra == ""


def test_the_report_tells_runs_with_them_apart_and_no_others(tmp_path):
    """A seed that an earlier version trained, without the option, is one more seed."""
    folders = [write_run(tmp_path, "hw2", "mnistm→svhn", "dann", seed, 0.5) for seed in range(3)]
    for folder, value in zip(folders[1:], ("", "drawn"), strict=True):
        patch_json(folder / "config.json", lambda config, value=value: config["preset"]["fields"].update(extra=value))
    groups = group_runs(read_runs(folders))
    assert [(group.label, len(group.runs)) for group in groups] == [("DANN", 2), ("DANN, extra drawn", 1)]


def test_every_adapting_preset_takes_them_and_is_then_no_published_experiment():
    for preset in presets.PRESETS.values():
        if isinstance(preset, Adaptation) and preset.method == "target":
            with pytest.raises(Refusal, match="--extra joins the source's pictures"):
                preset.replaced(extra="drawn")
        elif isinstance(preset, Adaptation):
            assert preset.extra == "" and not preset.replaced(extra="drawn").published


def test_what_cannot_join_is_refused(extra, domains, tmp_path):
    def sentence(folder):
        with pytest.raises(Refusal) as refusal:
            open_domains(tiny.tiny("demo-dann", domains, extra=str(folder)), None)
        return str(refusal.value)

    flat = tiny.write_flat(tmp_path / "flat", 5)
    assert sentence(flat) == f"--extra {flat} has no labels: give class folders, or a labels.csv (image_name,label)."
    pack(replace(load(extra), classes=("7", "cat")), tmp_path / "cats")
    assert sentence(tmp_path / "cats").startswith("There is no class 'cat': expected one of 0, 1, 2,")
    assert "of the source's own pictures: give others" in sentence(domains[0])
    target = load(domains[1], "train")
    assert f"holds {len(target)} of the target's own pictures" in sentence(domains[1] / "train"), "labels would steer"
    pack(target.take(torch.arange(len(target) - 1, 2, -1)), tmp_path / "most")
    assert f"holds {len(target) - 3} of the target's" in sentence(tmp_path / "most"), "in another order, not all"
    assert "There is no folder or file" in sentence(tmp_path / "nowhere")


# --- from a generator to an adaptation --------------------------------------------------------------------------------


def test_a_generators_class_folders_are_a_sources_extra_pictures(tmp_path, capfd):
    """On the embedded digits, all through the command line."""
    generator, drawn = tmp_path / "gan", tmp_path / "drawn"
    small = ["--size", 16, "--width", 8, "--latent", 8, "--batch", 4, "--images", 16, "--precision", "float32"]
    told(capfd, "train", "faces-gan", "--data", "uci", "--condition", "classes", *small, "--out", generator)
    words = ["sample", generator, "--names", "folder", "--out", drawn, "--count"]
    assert told(capfd, *words, 30).startswith(f"{drawn}: 30 pictures and grid.png.\n")
    images, names = load_named(drawn)
    assert images.classes == tuple("0123456789") and images.labels.bincount().tolist() == [3] * 10
    assert names[:4] == ["0/00000.png", "0/00010.png", "0/00020.png", "1/00001.png"]
    by_number = api.sample(generator, 30, tmp_path / "numbers")
    assert [(drawn / f"{n % 10}" / f"{n:05}.png").read_bytes() for n in range(30)] == [
        p.read_bytes() for p in by_number
    ]
    first = (drawn / "0" / "00000.png").stat().st_mtime_ns
    tiny.litter(drawn / "3" / "00003.png").write_bytes(b"half")
    told(capfd, *words, 41)
    assert (drawn / "0" / "00000.png").stat().st_mtime_ns == first and len(load(drawn)) == 41
    assert not list(drawn.rglob("*.part"))
    (drawn / "0" / "mine.png").write_bytes(b"mine")
    assert "holds 0/mine.png, which is no sample" in refused(capfd, *words, 41)
    (drawn / "0" / "mine.png").unlink()

    options = ["--batch-source", 8, "--batch-target", 8, "--images", 16, "--extra", drawn]
    told(capfd, "train", "demo-dann", *options, "--out", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    source = config["data"]["source"]
    assert (source["n"] + source["held_out"], source["extra"]["n"]) == (701 + 41, 41)
    told(capfd, "train", "digits-classifier", "--data", drawn, *small[2:4], *small[6:], "--out", tmp_path / "judge")


@pytest.mark.parametrize("name", ["a/b", ".a"])
def test_a_class_that_can_name_no_folder_is_refused(name, tmp_path):
    with pytest.raises(Refusal, match=f"The class '{name}' can name no folder"):
        FileNames(tmp_path, ("c", name), "folder").check()


def test_flat_samples_are_read_without_their_grid(tmp_path):
    folder = tiny.write_flat(tmp_path / "flat", 0, count=4)
    (folder / "grid.png").write_bytes((folder / "000.png").read_bytes())
    assert len(load(folder)) == 5, "a user's own picture may be called so"
    (folder / "sample.json").write_text("{}")
    assert len(load(folder)) == 4
