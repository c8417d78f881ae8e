"""What `train --track` tells TensorBoard, Weights & Biases and MLflow, read back from what they keep here."""

import importlib.util
import json
import shutil
from collections import Counter

import faces_tiny
import pytest
import tiny
from tiny import refused

import genshift
from genshift.training import tracking

pytestmark = pytest.mark.usefixtures("quick")
# Warnings of the trackers' own code, which their makers see to.
OTHERS = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning",
          "ResourceWarning", "UserWarning", "pytest.PytestUnraisableExceptionWarning")]  # fmt: skip
GAN = {"size": 16, "width": 8, "batch": 4, "latent": 8, "images": 32, "precision": "float32"}


def needs(name):
    missing = importlib.util.find_spec(tracking.TRACKERS[name][2]) is None
    return pytest.param(name, marks=[*OTHERS, pytest.mark.skipif(missing, reason=f"without the extra {name}")])


EVERY = [needs(name) for name in tracking.TRACKERS]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return faces_tiny.write_portraits(tmp_path_factory.mktemp("data") / "portraits")


@pytest.fixture(autouse=True)
def nothing_of_this_users(monkeypatch):
    """No server and no project that the environment names."""
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def train(data, out, **options):
    return genshift.train("faces-gan", out, data=data, **{**GAN, **options})


# --- reading back: (name, images) → how often, the values, the steps of pictures, and the settings --------------------


def of_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    read.Reload()
    points = [(tag, event.step, event.value) for tag in read.Tags()["scalars"] for event in read.Scalars(tag)]
    pictures = [event.step for event in read.Images("samples")] if "samples" in read.Tags()["images"] else []
    text = read.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    settings = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines()[2:] if " | " in line.strip("| "))
    return points, pictures, settings, 1


def records(content):
    """What an offline run's file holds, after its header of 7 bytes: LevelDB's log, records in parts within blocks."""
    place, held = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        held += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield held
            held = b""


def of_wandb(run):
    from wandb.proto import wandb_internal_pb2

    points, pictures, settings, ids = [], [], {}, set()
    for file in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        for held in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(held)
            if record.WhichOneof("record_type") == "run":
                ids.add(record.run.run_id)
                settings |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif record.WhichOneof("record_type") == "history":
                row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                images = row.pop("images")
                assert record.history.step.num == images == row.pop("_step", images)
                pictures += [images] if row.pop("samples", None) else []
                points += [(name, images, value) for name, value in row.items() if not name.startswith("_")]
    return points, pictures, settings, len(ids)


def of_mlflow(run):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{run}/mlruns/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "genshift"]
    runs = client.search_runs([experiment.experiment_id])
    id = runs[0].info.run_id
    histories = (client.get_metric_history(id, name) for name in runs[0].data.metrics)
    points = [(point.key, point.step, point.value) for history in histories for point in history]
    pictures = [int(file.path.rpartition("-")[2][:-4]) for file in client.list_artifacts(id, "samples")]
    assert runs[0].info.status == "FINISHED"
    return points, pictures, runs[0].data.params, len(runs)


READERS = {"tensorboard": of_tensorboard, "wandb": of_wandb, "mlflow": of_mlflow}


def logged(run):
    """(name, images) → value, of metrics.jsonl."""
    return {
        (name, row["images"]): value
        for row in tiny.rows(run)
        for name, value in row.items()
        if name != "images" and isinstance(value, int | float)
    }


def check(run, name):
    """Every point of metrics.jsonl and every result is there once, and nothing else."""
    points, pictures, settings, runs = READERS[name](run)
    results = {name: entry["value"] for name, entry in json.loads((run / "results.json").read_text()).items()}
    expected = logged(run) | {(f"results/{name}", 32): value for name, value in results.items()}
    counts = Counter((name, images) for name, images, _ in points)
    assert set(counts) == set(expected) and set(counts.values()) == {1}
    values = {(name, images): value for name, images, value in points}
    unlike = [
        key
        for key, value in expected.items()
        if not key[0].endswith("seconds") and values[key] != pytest.approx(value, rel=1e-5)
    ]
    assert not unlike
    drawn = sorted(int(path.stem.rpartition("-")[2]) for path in (run / "samples").glob("images-*.png"))
    assert sorted(pictures) == drawn and len(drawn) > 1
    assert str(settings["preset"]) == "faces-gan" and str(settings["batch"]) == "4" and runs == 1


# --- what it is told --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_a_run_that_is_stopped_and_killed_goes_on_in_the_same_tracked_run(name, data, tmp_path):
    out = tmp_path / "run"
    stopped = train(data, out, track=name, observers=[tiny.StopAt(16)])
    assert not stopped.finished
    assert train(data, out, track=name).finished
    check(out, name)
    # As kill -9 leaves it: what came after the checkpoint before is done again, and was told already.
    sorted((out / "checkpoints").glob("images-*"))[-1].unlink()
    (out / "checkpoints" / "best.safetensors").unlink(missing_ok=True)
    assert train(data, out, track=name).finished
    check(out, name)


def test_a_tracker_that_is_asked_for_later_gets_the_whole_curve(data, tmp_path):
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    assert not train(data, out, observers=[tiny.StopAt(16)]).finished
    train(data, out, track="tensorboard")
    points, *_ = of_tensorboard(out)
    assert set(logged(out)) <= {(name, images) for name, images, _ in points}


@pytest.mark.parametrize("name", EVERY)
def test_training_is_the_same_with_and_without(name, data, tmp_path, domains):
    words = {"source": domains[0], "target": domains[1], "batch_source": 4, "batch_target": 4, "width": 8}
    how = {**words, "images": 16, "precision": "float32", "evaluate": False}
    plain, tracked = tmp_path / "plain", tmp_path / "tracked"
    genshift.train("dann", plain, **how)
    genshift.train("dann", tracked, **how, track=name)
    assert not tiny.different(tiny.last(plain), tiny.last(tracked))
    assert json.loads((tracked / "tracking.json").read_text())[name]["id"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_tracker_that_fails_ends_itself_and_not_the_training(data, tmp_path, capfd, monkeypatch):
    class Failing:
        id, place = "it", "nowhere"

        def __init__(self, run, id, settings):
            self.sent = 0

        def scalars(self, values, images):
            self.sent += 1
            if self.sent == 3:
                raise RuntimeError("the server is\n full")

        def picture(self, file, images):
            pass

        def end(self):
            raise AssertionError("it is gone")

    monkeypatch.setitem(tracking.TRACKERS, "tensorboard", (Failing, "TensorBoard", "json"))
    assert train(data, tmp_path / "run", track="tensorboard").finished
    said = capfd.readouterr().err
    assert said.count("warning: TensorBoard ended (RuntimeError: the server is full); the training goes on.") == 1
    # The point that failed counts as not sent, and comes with the next start.
    sent = json.loads((tmp_path / "run" / "tracking.json").read_text())["tensorboard"]["sent"]
    assert 0 < max(sent.values()) < 32


def test_one_that_cannot_begin_ends_itself(data, tmp_path, capfd, monkeypatch):
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    shutil.copytree(faces_tiny.Studio(tmp_path / "s")["gan"], out)
    (out / "tracking.json").write_text("{}{")
    train(out.parent / "s" / "portraits", out, track="tensorboard")
    said = capfd.readouterr().err
    assert "warning: TensorBoard ended (Refusal:" in said and "tracking.json is not readable JSON" in said


def test_what_is_not_installed_or_not_known_is_refused_before_any_work(data, tmp_path, capfd, monkeypatch):
    words = ["train", "faces-gan", "--data", data, "--out", tmp_path / "run"]
    assert "--track does not take 'tensorbord'" in refused(capfd, *words, "--track", "tensorbord")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in tracking.TRACKERS:
        assert f"pip install 'genshift[{name}]'" in refused(capfd, *words, "--track", name)
    with pytest.raises(genshift.Refusal, match="--track takes tensorboard, wandb, mlflow, not neptune"):
        train(data, tmp_path / "run", track="neptune")
    assert not (tmp_path / "run").exists()
