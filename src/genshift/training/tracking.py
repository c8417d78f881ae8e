"""Trackers of experiments: TensorBoard, Weights & Biases and MLflow, each an extra, fed by one observer.

What a tracker gets is what the run folder holds: the scalars of metrics.jsonl, the grid of samples of each check, the
settings of config.json and, at the end, results.json. All are written on this machine (RUN/tensorboard, RUN/wandb,
RUN/mlruns), unless the tracker's own environment variables name a server (WANDB_MODE, MLFLOW_TRACKING_URI).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from PIL import Image

from genshift.errors import Refusal
from genshift.runs.folder import RunFolder
from genshift.runs.forms import RESULTS, TRACKING, TrackedEntry

Say = Callable[[str], None]
SAMPLES = "samples"
PROJECT = "genshift"  # of W&B, and MLflow's experiment, where the environment names none


class Tracker(Protocol):
    """A run of one of the programs. `id` names it there, for a training that is continued; `place` is said."""

    id: str
    place: str

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        """Numbers after so many images."""

    def picture(self, file: Path, images: int) -> None:
        """A grid of samples, a PNG file."""

    def end(self) -> None:
        """Closes it."""


class TensorBoard:
    """Event files in RUN/tensorboard."""

    def __init__(self, run: RunFolder, id: str, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.id, self.place = "tensorboard", f"`tensorboard --logdir {run.path}` shows it"
        self.writer = SummaryWriter(str(run.path / self.id))
        if not id:
            rows = [f"| {name} | {value} |" for name, value in settings.items()]
            self.writer.add_text("config", "\n".join(["| setting | value |", "|---|---|", *rows]), 0)

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, images)
        self.writer.flush()

    def picture(self, file: Path, images: int) -> None:
        with Image.open(file) as picture:
            self.writer.add_image(SAMPLES, np.asarray(picture.convert("RGB")), images, dataformats="HWC")
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()


class WeightsAndBiases:
    """A run of W&B: in RUN/wandb, offline, unless WANDB_MODE says online. WANDB_PROJECT names its project."""

    def __init__(self, run: RunFolder, id: str, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else it reports to its makers, offline too
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        quiet: dict[str, Any] = {"silent": True, "console": "off", "disable_git": True, "disable_code": True}
        quiet |= {"x_disable_meta": True, "x_disable_stats": True, "x_disable_machine_info": True}
        self.wandb, self.run = wandb, wandb.init(
            dir=str(run.path), id=id or None, name=run.path.resolve().name, config=dict(settings), mode=mode,
            project=os.environ.get("WANDB_PROJECT", PROJECT), resume="allow" if mode == "online" else None,
            settings=wandb.Settings(**quiet),
        )  # fmt: skip
        self.id = str(self.run.id)
        self.run.define_metric("*", step_metric="images")
        offline = f"`wandb sync --append {run.path / 'wandb'}/offline-run-*` would upload it"
        self.place = offline if mode == "offline" else str(self.run.url)

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        self.run.log({**values, "images": images}, step=images)

    def picture(self, file: Path, images: int) -> None:
        self.run.log({SAMPLES: self.wandb.Image(str(file)), "images": images}, step=images)

    def end(self) -> None:
        self.run.finish()


class MLflow:
    """A run of MLflow: in RUN/mlruns, unless MLFLOW_TRACKING_URI names another place; MLFLOW_EXPERIMENT_NAME its
    experiment."""

    def __init__(self, run: RunFolder, id: str, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else importing it asks its makers' server
        from mlflow import MlflowClient, entities

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        own = f"sqlite:///{(run.path / 'mlruns' / 'mlflow.db').absolute()}"
        uri = os.environ.get("MLFLOW_TRACKING_URI", own)
        artifacts = None
        if uri == own:
            (run.path / "mlruns").mkdir(exist_ok=True)
            artifacts = (run.path / "mlruns" / "artifacts").absolute().as_uri()
        self.entities, self.client = entities, MlflowClient(tracking_uri=uri)
        self.id = id or self._created(run, settings, artifacts)
        self.client.update_run(self.id, status="RUNNING")
        self.place = f"`mlflow ui --backend-store-uri {uri}` shows it"

    def _created(self, run: RunFolder, settings: Mapping[str, Any], artifacts: str | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self.client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self.client.create_experiment(name, artifacts)
        id: str = self.client.create_run(experiment, run_name=run.path.resolve().name).info.run_id
        for key, value in settings.items():
            self.client.log_param(id, key, value)
        return id

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        now = int(time.time() * 1000)
        metrics = [self.entities.Metric(name, value, now, images) for name, value in values.items()]
        self.client.log_batch(self.id, metrics)

    def picture(self, file: Path, images: int) -> None:
        self.client.log_artifact(self.id, str(file), SAMPLES)

    def end(self) -> None:
        self.client.set_terminated(self.id)


# By the word of --track: the class, what users call it, and the module that its extra installs.
TRACKERS: dict[str, tuple[Callable[[RunFolder, str, Mapping[str, Any]], Tracker], str, str]] = {
    "tensorboard": (TensorBoard, "TensorBoard", "tensorboard"),
    "wandb": (WeightsAndBiases, "Weights & Biases", "wandb"),
    "mlflow": (MLflow, "MLflow", "mlflow"),
}


class Tracking:
    """Feeds one tracker while a run trains: an observer of its checks, and `row` the sink of its scalars.

    tracking.json holds the tracker's id and how far each of its curves was sent, so that a continued run goes on in
    the same one and repeats no point. A tracker that fails ends itself, with a line.
    """

    def __init__(self, run: RunFolder, name: str, say: Say) -> None:
        """Raises Refusal for a tracker that is not known, or not installed."""
        if name not in TRACKERS:
            raise Refusal(f"--track takes {', '.join(TRACKERS)}, not {name}.")
        self._open, self.title, module = TRACKERS[name]
        if importlib.util.find_spec(module) is None:
            raise Refusal(f"{self.title} is not installed: pip install 'genshift[{name}]', or leave --track out.")
        self.run, self.name, self.say = run, name, say
        self.tracker: Tracker | None = None
        self.failed = False

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl, which holds it already."""
        self._do(lambda tracker: self._send(tracker, row))

    def __call__(self, images: int, method: Any) -> None:
        """Sends the grid of samples of this check, where the family of the run has written one."""
        file = self.run.path / "samples" / f"images-{images:012d}.png"
        if file.exists():
            self._do(lambda tracker: self._once(images, {SAMPLES: 0.0}, lambda _: tracker.picture(file, images)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Sends the run's results, where it has some, and ends."""
        if kind is None and (self.run.path / RESULTS).exists():
            results = {name: entry["value"] for name, entry in self.run.read(RESULTS).items()}
            row = {"images": self.run.seen, **{f"results/{name}": value for name, value in results.items()}}
            self._do(lambda tracker: self._send(tracker, row))
        if self.tracker is not None:
            self._do(lambda tracker: tracker.end())

    def _do(self, what: Callable[[Tracker], None]) -> None:
        """Does it with the tracker, which is begun with the first that it gets: config.json is there then."""
        if self.failed:
            return
        try:
            if self.tracker is None:
                self.tracker = self._begun()
            what(self.tracker)
        except Exception as error:  # noqa: BLE001 - whatever a tracker's code raises, the training goes on
            self.failed = True
            reason = " ".join(str(error).split()) or "no reason given"
            self.say(f"warning: {self.title} ended ({type(error).__name__}: {reason[:300]}); the training goes on.")

    def _begun(self) -> Tracker:
        """The tracker's run, new or gone on with, with all that metrics.jsonl holds."""
        tracker = self._open(self.run, self._state["id"], settings_of(self.run.config))
        self._keep({**self._state, "id": tracker.id})
        self.say(f"{self.title} follows: {tracker.place}.")
        for row in self.run.rows():
            self._send(tracker, row)
        return tracker

    def _send(self, tracker: Tracker, row: Mapping[str, Any]) -> None:
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "images"}
        self._once(row["images"], numbers, lambda values: tracker.scalars(values, row["images"]))

    def _once(self, images: int, values: dict[str, float], send: Callable[[dict[str, float]], None]) -> None:
        """Sends those of the values that were not sent for so many images before. A process that is killed in between
        leaves a point out rather than send it twice."""
        before = self._state
        new = {name: value for name, value in values.items() if images > before["sent"].get(name, -1)}
        if not new:
            return
        self._keep({**before, "sent": {**before["sent"], **dict.fromkeys(new, images)}})
        try:
            send(new)
        except BaseException:
            self._keep(before)
            raise

    @property
    def _state(self) -> TrackedEntry:
        empty: TrackedEntry = {"id": "", "sent": {}}
        state: TrackedEntry = self.run.read_if_there(TRACKING).get(self.name, empty)
        return state

    def _keep(self, state: TrackedEntry) -> None:
        self.run.write(TRACKING, {**self.run.read_if_there(TRACKING), self.name: state})


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a tracker is told of config.json: the preset's options, seed, budget and machine, by name."""
    others = ("seed", "images", "genshift", "precision", "machine", "threads", "world")
    preset = config["preset"]
    return {"preset": preset["name"], **preset["fields"], **{name: config[name] for name in others}}
