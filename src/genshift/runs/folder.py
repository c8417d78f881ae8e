"""The run folder: everything that came of one preset that was trained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genshift import typed_json
from genshift.errors import Refusal, of_os_error
from genshift.runs.files import UNENCODABLE, as_written, read_json, read_jsonl, write_json, write_text
from genshift.runs.forms import CHOICE, CONFIG, FORMS, SCORES, LogRow, Needed

if TYPE_CHECKING:  # checkpoints need torch, and listing runs does not: those methods import it themselves
    from genshift.runs.checkpoint import Checkpoint

ABSENT = "it is not a run folder; `genshift ls` lists the runs under this folder"
MANIFEST = "manifest.safetensors"  # which images a run learns from
TRIALS = "trials"  # a folder of short runs that settle what this one is trained with
FEATURES = "features.safetensors"  # of a backbone that rests, by the contents of the pictures
WEIGHTS = "model.safetensors"  # of a bundle: the one checkpoint, with the networks as they answer


class RunFolder:
    """Paths and files of a run. Nothing in it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"

    def create(self) -> None:
        """Makes the folder; Refusal where a file stands there or it cannot be written to."""
        self.check_place()
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise of_os_error(error, f"making the run folder {self.path}") from error

    def check_place(self) -> None:
        """Refuses a place where something else stands, or from which no checkpoint could be read."""
        if as_written(str(self.path)) != str(self.path):  # safetensors' library takes no such path
            raise Refusal(f"--out {self.path} is no UTF-8, from which no checkpoint is read: name another.")
        if self.path.exists() and not self.path.is_dir():
            raise Refusal(f"--out {self.path} is a file: name a folder.")
        if not self.exists() and self._holds_others():
            raise Refusal(f"--out {self.path} holds other files and no run: name a new or empty folder.")

    def _holds_others(self) -> bool:
        """Whether the folder holds what no run that was killed before its config.json can have left."""
        if not self.path.is_dir():
            return False
        ours = ("checkpoints", MANIFEST, FEATURES, TRIALS, ".training.lock", ".training.json")  # who trains
        others = [p for p in self.path.iterdir() if p.name not in ours and not p.name.endswith(".part")]
        return bool(others or self.saved())

    def exists(self) -> bool:
        """Whether a run was ever started here."""
        return (self.path / CONFIG).is_file()

    @property
    def config(self) -> dict[str, Any]:
        """config.json; Refusal where it is missing, broken or not a run's."""
        config: dict[str, Any] = self.read(CONFIG, ABSENT)
        return config

    @property
    def whole_config(self) -> dict[str, Any]:
        """The same of a run that is opened, measured or continued; Refusal where it lacks what that needs."""
        config, (_, advice) = self.config, FORMS[CONFIG]
        typed_json.check(config, Needed, str(self.path / CONFIG), advice)
        for part in ("source", "target"):  # of every adaptation
            if part in config["preset"]["fields"] and part not in config["data"]:
                wrong = f"data has no '{part}'"
                raise Refusal(f"{self.path / CONFIG} is not what genshift writes ({wrong}): {advice}.")
        return config

    def write(self, name: str, value: Any) -> None:
        """Writes one of the run's JSON files whole."""
        write_json(self.path / name, value)

    def read(self, name: str, absent: str = "evaluate the run first") -> Any:
        """One of the run's JSON files as `forms.FORMS` has it; Refusal where it is missing (`absent` says what to do),
        broken or anything else."""
        kind, advice = FORMS[name]
        return read_json(self.path / name, absent, kind, advice)

    def read_if_there(self, name: str) -> Any:
        """The same; an empty dict where there is no such file."""
        return self.read(name) if (self.path / name).exists() else {}

    def rows(self, name: str = "metrics.jsonl") -> list[LogRow]:
        """The rows of a .jsonl file, as `files.read_jsonl` reads them."""
        return read_jsonl(self.path / name)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Adds one row to a .jsonl file."""
        try:
            with (self.path / name).open("a", encoding="utf-8", errors=UNENCODABLE) as file:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        except OSError as error:
            raise of_os_error(error, f"writing {self.path / name}") from error

    def rewind(self, images: int) -> None:
        """Drops the rows written after `images` images, so that a continued run writes them once, and a choice among
        checkpoints."""
        for name in (SCORES, CHOICE):  # of fewer checkpoints than there will be
            (self.path / name).unlink(missing_ok=True)
        for name in ("metrics.jsonl", "oracle.jsonl"):
            if (self.path / name).exists():
                kept = [row for row in self.rows(name) if row["images"] <= images]
                write_text(self.path / name, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept))

    @property
    def is_bundle(self) -> bool:
        """Whether it is a run in a model hub's form: it answers as the run did, and holds nothing else of it."""
        return (self.path / WEIGHTS).is_file()

    def check_no_bundle(self) -> None:
        """Refuses a bundle, where what a run learnt from, or its training, is needed."""
        if self.is_bundle:
            raise Refusal(
                f"{self.path} is a bundle, which answers and does not know what its run learnt from: name the run."
            )

    def saved(self) -> list[Path]:
        """The numbered checkpoints, oldest first; of a bundle its one checkpoint."""
        return [self.path / WEIGHTS] if self.is_bundle else self._numbered("images")

    @property
    def seen(self) -> int:
        """Images that the newest numbered checkpoint has seen; 0 before the first."""
        if self.is_bundle:
            seen: int = self.read(CONFIG, ABSENT).get("bundle", {}).get("seen", 0)
            return seen
        saved = self.saved()
        return images_of(saved[-1]) if saved else 0

    def last(self) -> Checkpoint | None:
        """The newest numbered checkpoint, or None before the first."""
        from genshift.runs import checkpoint

        saved = self.saved()
        return checkpoint.load(saved[-1]) if saved else None

    def save(self, state: Checkpoint, keep: int) -> None:
        """Writes a numbered checkpoint and removes all but the `keep` newest."""
        from genshift.runs import checkpoint

        checkpoint.save(self.checkpoints / f"images-{state.about['images']:012d}.safetensors", state)
        self._remove(self.saved()[:-keep])

    def save_best(self, state: Checkpoint) -> None:
        """Writes best.safetensors."""
        from genshift.runs import checkpoint

        checkpoint.save(self.checkpoints / "best.safetensors", state)

    def candidates(self) -> list[Path]:
        """The checkpoints that an adapting run kept to choose from, oldest first (networks alone, as they answer)."""
        return [path for path in self._numbered("candidate") if images_of(path) <= self.seen]

    def keep_candidate(self, state: Checkpoint) -> None:
        """Writes a checkpoint to choose from."""
        from genshift.runs import checkpoint

        checkpoint.save(self.checkpoints / f"candidate-{state.about['images']:012d}.safetensors", state)

    def selected(self) -> Path | None:
        """The checkpoint that `genshift select` chose; None where it was not asked. Refusal where it is gone."""
        if not (self.path / CHOICE).exists():
            return None
        path = (self.path if self.is_bundle else self.checkpoints) / str(self.read(CHOICE).get("checkpoint"))
        if not path.is_file():
            raise Refusal(f"{self.path / CHOICE} chose {path.name}, which is gone: run `genshift select` again.")
        return path

    def chosen(self, select: str) -> Path:
        """The checkpoint that stands for the run: the best on held-out source images, or the last."""
        best = self.checkpoints / "best.safetensors"
        if select == "best" and best.exists():
            return best
        saved = self.saved()
        if not saved:
            raise Refusal(f"{self.path} has no checkpoint yet: let it train, or name another run.")
        return saved[-1]

    def _numbered(self, kind: str) -> list[Path]:
        """The checkpoints of a kind, by the number in their names; Refusal where one has none."""
        return sorted(self.checkpoints.glob(f"{kind}-*.safetensors"), key=images_of)

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink()


def images_of(path: Path) -> int:
    """How many images a checkpoint that is named by their number had seen; Refusal where it is not named so."""
    number = path.stem.rpartition("-")[2]
    if not re.fullmatch(r"[0-9]{12,}", number):
        raise Refusal(
            f"{path} is named after no number of images: expected 12 digits, as in images-000000000016.safetensors; "
            "give it back its name, or move it out of the folder."
        )
    return int(number)
