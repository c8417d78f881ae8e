"""What an evaluation finds, measure by measure: one that is refused ends itself, with its sentence, and no other."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.runs.forms import Evaluation, PictureEntry
from genshift.runs.results import Measure, Results


class Findings:
    """results.json and evaluation.json as an evaluation fills them.

    images: the sets that were looked at, with whatever labels they have. refused: the sentences of the measures that
    ended themselves; they stand among the record's warnings too.
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.results: Results = {}
        self.record: Evaluation = {"classes": list(classes), "warnings": []}
        self.images: list[ImageSet] = []
        self.refused: list[str] = []

    @contextmanager
    def measuring(self, *names: str) -> Iterator[None]:
        """Around what measures `names`, keys of results.json or files of samples/: a Refusal in it, or a value that is
        not finite, ends it and drops these results, and what follows goes on."""
        try:
            yield
            for name in names:
                if name in self.results:
                    _check_finite(self.results[name])
        except Refusal as refusal:
            for name in names:
                self.results.pop(name, None)
            self.refused.append(f"Not measured: {', '.join(names)}. {refusal}")
            self.record["warnings"].append(self.refused[-1])

    def stamp(self, checkpoint: str) -> str:
        """Marks every measure, but for those that say it themselves, as one of this checkpoint and of the sets that
        were looked at; returns their digest."""
        content = hashlib.sha256("".join(images.fingerprint() for images in self.images).encode())
        digest = content.hexdigest()[:16]
        for name, measure in self.results.items():
            if not measure.checkpoint:
                self.results[name] = replace(measure, data=digest, checkpoint=checkpoint)
        return digest

    def show(self, picture: PictureEntry | None) -> None:
        """Adds a picture to those of the report; None is one that the data do not allow."""
        if picture is not None:
            self.record.setdefault("pictures", []).append(picture)


def _check_finite(measure: Measure) -> None:
    numbers = {"value": measure.value, "std": measure.std, "floor": measure.floor}
    for name, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise Refusal(f"Its {name} came out as {number}: expected a finite number.")
