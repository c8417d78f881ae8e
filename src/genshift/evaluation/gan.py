"""What is measured of a GAN alone: how steady its training was, and what it drew at the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.evaluation.feature_distance import FeatureSpace
from genshift.evaluation.findings import Findings
from genshift.evaluation.generation import LatentGeneratorEvaluation
from genshift.evaluation.panels import COLUMNS, GRID, ImageWriter, numbered
from genshift.methods import GANMethod
from genshift.metrics.binomial import standard_error
from genshift.metrics.faces import has_face
from genshift.metrics.kid import kid
from genshift.metrics.stability import spread_of_loss
from genshift.presets import GAN
from genshift.runs.folder import RunFolder
from genshift.runs.forms import CheckRow
from genshift.runs.png import pictures_of
from genshift.runs.results import Measure

LOOKED_AT = 20  # checks: bounds the time that the face detector takes


class GANEvaluation(LatentGeneratorEvaluation[GAN, GANMethod]):
    """Of a GAN also the spread of its discriminator's loss, the readings in which an alarm stood, and its grids."""

    def measure_networks(
        self,
        writer: ImageWriter,
        method: GANMethod,
        held_out: ImageSet | None,
        judge: FeatureSpace | None,
        found: Findings,
    ) -> None:
        rows = [row for row in writer.run.rows() if isinstance(row.get("train/loss_d"), float)]
        with found.measuring("discriminator_loss_spread"):
            spread, error = spread_of_loss([row["train/loss_d"] for row in rows])
            protocol = (
                f"standard deviation of the discriminator's loss over {len(rows):,} readings, without the first tenth; "
                "std is its error as if they were independent"
            )
            found.results["discriminator_loss_spread"] = Measure(spread, len(rows), protocol, error)
            alarmed = [row for row in rows if row.get("alarms")]
            share = len(alarmed) / len(rows)
            protocol = f"share of {len(rows):,} readings of training in which an alarm stood"
            found.results["alarmed"] = Measure(share, len(rows), protocol, standard_error(share, len(rows)))
        side = method.preset.size
        faces = ("face rate over training",) if writer.run.config["preset"]["task"] == "celeba" else ()
        with found.measuring("grids over training", *faces):
            grids = grids_of(writer.run, side)
            found.record["over_training"] = at_checks(grids, held_out, judge)
            if faces:
                with found.measuring(*faces):  # what needs an extra leaves the distances
                    found.record["over_training"] = with_faces(grids, found.record["over_training"])


def grids_of(run: RunFolder, side: int) -> dict[int, Tensor]:
    """The grids that training left, spread over it, by the images seen: uint8 `[32, C, side, side]` each."""
    kept = sorted(numbered(run, "images").items())
    places = {round(k * (len(kept) - 1) / max(1, LOOKED_AT - 1)) for k in range(LOOKED_AT)} if kept else set()
    return {images: read_grid(path, side) for images, path in (kept[place] for place in sorted(places))}


def at_checks(grids: Mapping[int, Tensor], held_out: ImageSet | None, judge: FeatureSpace | None) -> list[CheckRow]:
    """A row a grid: the kernel distance from held-out pictures in the features of the judge, which is unbiased for so
    few."""
    real = None if judge is None or held_out is None else judge.embed(held_out.images)
    rows: list[CheckRow] = []
    for images, drawn in grids.items():
        row: CheckRow = {"images": images, "n": len(drawn)}
        if real is not None and judge is not None:
            row["kernel_distance"] = kid(real, judge.embed(drawn))
        rows.append(row)
    return rows


def with_faces(grids: Mapping[int, Tensor], rows: Sequence[CheckRow]) -> list[CheckRow]:
    """The rows with the face rate of each grid."""
    rates = [has_face(drawn).double().mean().item() for drawn in grids.values()]
    return [
        {**row, "face_rate": rate, "face_error": standard_error(rate, row["n"])}
        for row, rate in zip(rows, rates, strict=True)
    ]


def read_grid(path: Path, side: int) -> Tensor:
    """The pictures, uint8 `[32, C, side, side]`, of a grid that training left; Refusal for another picture."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            sheet = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            sheet = sheet.reshape(image.height, image.width, len(image.getbands())).permute(2, 0, 1)
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        raise Refusal(f"{path} is no picture that can be read ({error}): move it away, and evaluate again.") from error
    return pictures_of(sheet, side, COLUMNS, GRID, path)
