"""Small pictures of latent spaces and confusion matrices: many methods at a glance, in a few kilobytes each."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image, ImageColor, ImageDraw

from genshift.report.blocks import Picture
from genshift.report.figures.adaptation import FAINT, Points, class_legend, tsne_points
from genshift.report.figures.plotting import SOURCE, TARGET
from genshift.runs.records import RunRecord

SIDE = 132  # pixels
FINER = 3  # times SIDE: drawn so large, then made smaller, so that dots have soft edges
COLOURS = 64  # of the palette: with fewer some classes lose theirs
EMPTY, FULL = (244, 247, 251), (11, 61, 145)  # of a confusion's cell, as in the large drawing


def thumbnails(run: RunRecord, label: str) -> list[Picture]:
    """The latent space by class and by domain, and the confusion matrix: those of the three that were measured."""
    evaluation = run.evaluation
    pictures = []
    if evaluation.get("tsne"):
        points = tsne_points(run)
        colours = dict(enumerate(colour for _, colour in class_legend(run)))
        classes = [colours.get(k, FAINT) for k in points.label]
        pictures.append(_picture(_scatter(points, classes), label, "t-SNE by class"))
        domains = [(SOURCE, TARGET)[d] for d in points.domain]
        pictures.append(_picture(_scatter(points, domains), label, "t-SNE by domain"))
    if evaluation.get("confusion"):
        pictures.append(_picture(_confusion(evaluation["confusion"]), label, "confusion matrix"))
    return pictures


def _scatter(points: Points, colours: list[str]) -> Image.Image:
    """The points of the latent sample, both axes on one scale."""
    side = SIDE * FINER
    image = Image.new("RGB", (side, side), "#ffffff")  # as the confusion's lightest, on any theme
    draw, radius = ImageDraw.Draw(image), 1.3 * FINER
    middle = [(max(column) + min(column)) / 2 for column in (points.x, points.y)]
    reach = max(max(column) - min(column) for column in (points.x, points.y)) or 1.0  # of one point there is none
    for x, y, colour in zip(points.x, points.y, colours, strict=True):
        # 3% are left free on either side, for the dots at the ends; a picture's rows go downwards.
        at = [side * (0.5 + 0.94 * way * (v - m) / reach) for v, m, way in zip((x, y), middle, (1, -1), strict=True)]
        draw.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), fill=ImageColor.getrgb(colour))
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _confusion(counts: list[list[int]]) -> Image.Image:
    """One pixel a cell, its colour the share of the true class; made larger without smoothing."""
    image = Image.new("RGB", (len(counts), len(counts)))
    for place, count in enumerate(count for row in counts for count in row):
        row, column = divmod(place, len(counts))
        share = (count / max(1, sum(counts[row]))) ** 0.5  # its root, so that small confusions show
        colour = tuple(round(low + (high - low) * share) for low, high in zip(EMPTY, FULL, strict=True))
        image.putpixel((column, row), colour)
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _picture(image: Image.Image, label: str, what: str) -> Picture:
    written = BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    data = "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")
    return Picture(what, data=data, alt=f"{label}: {what}", size=(SIDE, SIDE))
