"""`genshift label` and `evaluate --labels` by the command line: drawing, lengthening, CSVs, and what is refused."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
import tiny
import torch
from tiny import refused, told

import genshift
from genshift.evaluation.audited_choice import optimism
from genshift.evaluation.labels import Plan, drawing_order, read_plan, strata_of

pytestmark = pytest.mark.usefixtures("quick")
PICTURES = 80


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An adapted run whose target is a folder of 80 unlabelled pictures; picture 007.png shows class 7, and so on."""
    folder = tmp_path_factory.mktemp("labels")
    source, target = tiny.write_classes(folder / "source", 0, 40), tiny.write_flat(folder / "target", 1, PICTURES)
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten_the_probe(patch.setattr)
        small = {"batch_source": 4, "batch_target": 4, "precision": "float32", "validation": 0.2}
        genshift.train("demo-dann", folder / "run", source=source, target=target, images=80, evaluate=False, **small)
    return folder / "run"


def write(path, rows, header=("image_name", "label")):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def truth(names=None):
    names = [f"{number:03}.png" for number in range(PICTURES)] if names is None else names
    return [(name, str(int(name[:3]) % 10)) for name in names]


def read(path):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


# --- drawing ----------------------------------------------------------------------------------------------------------


def test_any_beginning_of_the_order_is_a_proportional_sample():
    """However many are drawn, no stratum has more than one picture more than another, and every picture the same
    chance."""
    stratum = strata_of(torch.rand(200, generator=torch.Generator().manual_seed(0)), 50)
    assert stratum.bincount().tolist() == [20] * 10
    times = torch.zeros(200)
    for seed in range(400):
        order = drawing_order(stratum, seed)
        assert order.sort().values.tolist() == list(range(200))
        for count in (1, 7, 50, 63, 200):
            drawn = stratum[order[:count]].bincount(minlength=10)
            assert drawn.max() - drawn.min() <= 1
        times[order[:25]] += 1
    # Each is drawn 50 times of 400, with a standard deviation of 6.6.
    assert times.mean() == 50 and 5 < times.std() < 8.5 and times.min() > 22 and times.max() < 80
    assert not torch.equal(drawing_order(stratum, 0), drawing_order(stratum, 1))
    assert len(strata_of(torch.rand(30), 12).unique()) == 2 and len(strata_of(torch.rand(30), 3).unique()) == 1


def test_strata_go_by_confidence():
    score = torch.tensor([3.0, -1.0, 5.0, 0.0, 2.0, 8.0, 9.0, 7.0, 1.0, 4.0])
    stratum = strata_of(score, 10)
    assert score[stratum == 0].max() < score[stratum == 1].min()


def test_a_plan_says_what_was_drawn_and_how(run, tmp_path, capfd):
    said = told(capfd, "label", run, "--count", 20, "--out", tmp_path, "--seed", 3)
    assert "pictures 1 to 20" in said and f"next: genshift evaluate {run} --labels {tmp_path}/labels-" in said
    plan = read_plan(tmp_path / "plan.safetensors")
    assert isinstance(plan, Plan) and (plan.drawn, plan.seed) == (20, 3)
    assert plan.strata() == [{"size": 20, "drawn": 5, "probability": 0.25}] * 4
    before = (tmp_path / "plan.safetensors").read_bytes()
    told(capfd, "label", run, "--count", 20, "--out", tmp_path)
    assert (tmp_path / "plan.safetensors").read_bytes() == before, "the same command changes nothing"


def test_more_labels_lengthen_the_sample(run, tmp_path, capfd):
    """Of 30, then 50: the first 30 stay, the page has the other 20, both CSVs are evaluated together, and the sample is
    that of 50 drawn at once."""
    told(capfd, "label", run, "--count", 30, "--out", tmp_path)
    first = read_plan(tmp_path / "plan.safetensors")
    every = write(tmp_path / "all.csv", truth())
    told(capfd, "label", run, "--count", 30, "--out", tmp_path, "--labels", every)
    one = (tmp_path / "labels.csv").rename(tmp_path / "one.csv")
    assert "pictures 31 to 50" in told(capfd, "label", run, "--count", 50, "--out", tmp_path)
    assert (tmp_path / "label-31-50.html").exists()
    second = read_plan(tmp_path / "plan.safetensors")
    assert second.name == first.name and torch.equal(second.order, first.order) and second.drawn == 50
    early = json.loads(told(capfd, "evaluate", run, "--labels", one, "--json"))
    assert (early["n"], early["warnings"]) == (30, []), "who stops early has a sample"
    told(capfd, "label", run, "--count", 50, "--out", tmp_path, "--labels", every)
    assert read(tmp_path / "labels.csv")[:30] == read(one)
    two = write(tmp_path / "two.csv", [tuple(row.values()) for row in read(tmp_path / "labels.csv")[30:]], read(one)[0])
    both = json.loads(told(capfd, "evaluate", run, "--labels", one, two, "--json"))
    whole = json.loads(told(capfd, "evaluate", run, "--labels", tmp_path / "labels.csv", "--json"))
    assert both.pop("files") != whole.pop("files") and both == whole and whole["n"] == 50
    assert "30 pictures were drawn" not in refused(capfd, "label", run, "--count", 40, "--out", tmp_path)
    assert "holds a plan of seed 0" in refused(capfd, "label", run, "--count", 50, "--seed", 1, "--out", tmp_path)


# --- evaluating -------------------------------------------------------------------------------------------------------


def test_an_audit_is_told_kept_and_stands_in_the_results(run, tmp_path, capfd):
    told(capfd, "evaluate", run)
    every = write(tmp_path / "all.csv", truth())
    told(capfd, "label", run, "--count", 50, "--labels", every)
    said = told(capfd, "evaluate", run, "--labels", run / "labels" / "labels.csv")
    found = json.loads((run / "audit.json").read_text())
    assert f"Accuracy on target: {found['accuracy']['value']:.1%} (95% interval " in said
    assert "Balanced over the classes: " in said and "would halve the interval" in said
    assert f"next: genshift label {run} --count {50 + found['more_to_halve']}" in said
    right = [row[1] == label for row, (_, label) in zip(_predicted(run), truth(), strict=True)]
    assert found["accuracy"]["low"] <= sum(right) / PICTURES <= found["accuracy"]["high"]
    results = json.loads((run / "results.json").read_text())
    assert results["audit/accuracy"]["value"] == found["accuracy"]["value"] and results["audit/accuracy"]["n"] == 50
    assert "audit/accuracy" in (run / "card.md").read_text() and "source_test_accuracy" in results
    told(capfd, "evaluate", run)
    assert "audit/accuracy" in json.loads((run / "results.json").read_text()), "an evaluation keeps it"


def _predicted(run):
    return genshift.predict(run, json.loads((run / "config.json").read_text())["preset"]["fields"]["target"])


def test_pictures_of_no_class_and_skipped_ones(run, tmp_path, capfd):
    every = write(tmp_path / "all.csv", truth())
    told(capfd, "label", run, "--count", 40, "--out", tmp_path, "--labels", every)
    rows = [list(row.values()) for row in read(tmp_path / "labels.csv")]
    for place, answer in ((0, "none of these"), (1, "none of these"), (2, "skipped")):
        rows[place][1:3] = ["", answer]
    odd = write(tmp_path / "odd.csv", rows, ("image_name", "label", "answer", "plan"))
    said = told(capfd, "evaluate", run, "--labels", odd)
    assert "5% of the labelled pictures show no class of the run; counted as wrong: " in said
    assert "warning: 1 of the drawn pictures were passed over" in said
    found = json.loads((run / "audit.json").read_text())
    assert (found["n"], found["foreign"]) == (37, 2)
    assert found["accuracy_of_all"]["value"] < found["accuracy"]["value"]


def test_a_csv_without_a_plan_is_taken_as_chosen_at_random(run, tmp_path, capfd):
    some = write(tmp_path / "some.csv", truth()[::3])
    (run / "labels").rename(run / "aside") if (run / "labels").exists() else None
    found = json.loads(told(capfd, "evaluate", run, "--labels", some, "--json"))
    assert (found["plan"], found["n"]) == (None, 27) and "chosen at random" in found["warnings"][0]


def test_labels_never_reach_training(run, tmp_path, capfd):
    """An audited run's weights and choice are those from before, and a training beside the labels has the same bits."""
    weights = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    told(capfd, "label", run, "--count", 30, "--out", tmp_path, "--labels", write(tmp_path / "a.csv", truth()))
    told(capfd, "evaluate", run, "--labels", tmp_path / "labels.csv")
    assert weights == {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}


def test_a_choice_by_labels_bears_its_name_and_tells_its_cost(run, tmp_path, capfd):
    """On a copy of the run: the checkpoint that is right on most, and a warning with every audit after it."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    labels = write(tmp_path / "half.csv", truth()[::2])
    said = told(capfd, "select", copy, "--labels", labels)
    choice = json.loads((copy / "selection.json").read_text())
    assert choice["rule"] == "labels" and "points too high; label others" in said
    found = json.loads(told(capfd, "select", copy, "--labels", labels, "--json"))
    assert found["accuracy"] == max(found["candidates"].values()) and len(found["candidates"]) > 2
    assert found["candidates"][choice["checkpoint"]] == found["accuracy"] and found["n"] == 40
    audit = json.loads(told(capfd, "evaluate", copy, "--labels", labels, "--json"))
    assert audit["checkpoint"] == choice["checkpoint"] and "40 labels chose this among" in audit["warnings"][-1]
    assert "name one run alone" in refused(capfd, "select", copy, run, "--labels", labels)
    assert "name one run alone" in refused(capfd, "select", copy, "--rule", "im", "--labels", labels)
    told(capfd, "select", copy, "--rule", "last")  # the rules without labels still choose


def test_the_cost_of_a_choice():
    """Of ten models that are all 80% right, independent of each other, the best on 50 pictures seems 8.7 points better
    (10 normal variables' maximum is 1.54 deviations); of models that are one, nothing."""
    random = np.random.default_rng(0)
    costs = [optimism(random.random((10, 50)) < 0.8) for _ in range(20)]
    assert 0.05 < np.mean(costs) < 0.1
    assert optimism(np.tile(random.random(50) < 0.8, (10, 1))) < 0.005


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"image_name,label\n007.png,7\nother.png,1\n", "names 'other.png' in line 3, which is no picture of"),
        (b"image_name,label\n007.png,7\n008.png,8\n007.png,7\n", "names '007.png' twice, again in line 4"),
        (b"", "is empty: expected the header 'image_name,label'"),
        (b"\n\n", "is empty"),
        (b"image_name,label\n", "names no picture: expected lines"),
        (b"image_name,label\n007.png,seven\n", "There is no class 'seven': expected one of 0, 1, 2"),
        (b"image_name,label\n007.png,\n", "gives no label in line 2"),
        (b"image_name,label\n007.png,nan\n", "gives the label 'nan' in line 2"),
        ("image_name,label\n007.png,zéro\n".encode("latin-1"), "holds bytes in line 2 that are no text in UTF-8"),
        (b"image_name,label,confidence\n007.png,7,0.9\n", "expected the header 'image_name,label'"),
        (b"007,7\n", "begins with '007,7'"),
        (b'image_name,label\n"007.png,7\n', "cannot be read from line 2 on"),
        (b"image_name,label,answer,plan\n007.png,,skipped,\n", "holds no label"),
        (b"image_name,label,answer,plan\n007.png,7,,0badf00d\n", "drawn by plan 0badf00d, which is not there"),
        (
            b"image_name,label,answer,plan\n007.png,,none of these,\n",
            "No labelled picture shows one of the run's classes",
        ),
    ],
)
def test_bad_labels_end_in_one_sentence(content, sentence, run, tmp_path, capfd):
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    kept = (run / "audit.json").read_bytes() if (run / "audit.json").exists() else None
    assert sentence in refused(capfd, "evaluate", run, "--labels", file)
    assert kept == ((run / "audit.json").read_bytes() if kept else None), "what was known stays"


def test_what_else_is_refused(run, domains, tmp_path, capfd):
    every = write(tmp_path / "all.csv", truth())
    assert "cannot be drawn of 80 target pictures" in refused(
        capfd, "label", run, "--count", 81, "--out", tmp_path / "a"
    )
    assert "--count must be above 0" in refused(capfd, "label", run, "--count", 0)
    assert "does not exist" in refused(capfd, "evaluate", run, "--labels", tmp_path / "absent.csv")
    assert "names '000.png' twice" in refused(capfd, "evaluate", run, "--labels", every, every)
    assert "leave out --features" in refused(capfd, "evaluate", run, "--labels", every, "--features", run)
    assert "name a run" in refused(capfd, "evaluate", "--labels", every)
    assert "--encoding is of --labels" in refused(capfd, "evaluate", run, "--encoding", "gbk")
    assert "There is no encoding 'utf-9'" in refused(capfd, "evaluate", run, "--labels", every, "--encoding", "utf-9")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "plan.safetensors").write_bytes(b"nothing")
    assert "plan.safetensors is cut short" in refused(capfd, "label", run, "--out", tmp_path / "b")
    classifier = tmp_path / "classifier"
    small = ["--batch", 4, "--precision", "float32", "--images", 8]
    told(capfd, "train", "digits-classifier", "--data", domains[0], *small, "--out", classifier, "--no-evaluate")
    assert "which has no target to label" in refused(capfd, "label", classifier)


def test_a_plan_of_other_pictures_is_refused(run, domains, tmp_path, capfd):
    told(capfd, "label", run, "--count", 30, "--out", tmp_path)
    other, small = tmp_path / "other", ["--batch-source", 4, "--batch-target", 4, "--precision", "float32"]
    sets = ["--source", domains[0], "--target", domains[1]]
    told(capfd, "train", "demo-dann", *sets, *small, "--images", 8, "--out", other, "--no-evaluate")
    said = refused(capfd, "label", other, "--count", 30, "--out", tmp_path)
    assert "The plan was drawn of 80 pictures" in said and "holds 0 of them" in said
    # A packed set's pictures go by number, and its page is of what the run sees.
    told(capfd, "label", other, "--count", 10, "--out", tmp_path / "packed")
    rows = [(str(number), str(number % 10)) for number in range(0, 40, 4)]
    packed = write(tmp_path / "packed.csv", rows)
    assert json.loads(told(capfd, "evaluate", other, "--labels", packed, "--json"))["plan"] is None
    marked = write(tmp_path / "marked.csv", [(*row, "", read_plan(tmp_path / "plan.safetensors").name) for row in rows],
                   ("image_name", "label", "answer", "plan"))  # fmt: skip
    assert "holds 0 of them" in refused(capfd, "evaluate", other, "--labels", marked)
