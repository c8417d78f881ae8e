"""What fell short of its published figure or of source-only, each with its cause where one is written down."""

from __future__ import annotations

from genshift.report.blocks import Block, Bullets, Heading, Prose
from genshift.report.model.page_model import PageModel


def what_fell_short(model: PageModel) -> list[Block]:
    """One line a row; or that nothing did."""
    heading = Heading("What fell short")
    if not model.shortfalls:
        adapted = ", and no adapted model below source only" if model.adapting else ""
        worse = "worse than" if any(run.draws for run in model.runs) else "below"
        return [heading, Prose(f"Nothing: no row is {worse} its published figure{adapted}.")]
    lines = []
    for shortfall in model.shortfalls:
        row = shortfall.row
        # From the narrowest to the widest: a row's cause goes before its task's.
        headings = (f"{row.task} {row.label}", row.label, row.group.first.name, f"{row.task} {row.method}", row.task)
        cause = next((model.causes[name] for name in headings if name in model.causes), "No cause is written down yet.")
        lines.append(f"{shortfall.text}. {' '.join(cause.split())}")
    return [heading, Bullets([(line, ()) for line in lines])]
