"""How steady a training was, by its log."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from genshift.errors import Refusal

WARM_UP = 0.1  # of the readings, in which every loss falls


def spread_of_loss(losses: Sequence[float]) -> tuple[float, float]:
    """The standard deviation (n − 1) of a loss over the readings after the first tenth, and its standard error,
    s/√(2(n − 1)), as if readings were independent and normal. Refusal for fewer than 3 such readings, or where one is
    not finite."""
    kept = torch.tensor(losses[int(WARM_UP * len(losses)) :], dtype=torch.float64)
    if len(kept) < 3 or not bool(kept.isfinite().all()):
        raise Refusal(f"The log has {len(kept)} readings of the loss after the first tenth: expected 3 finite or more.")
    spread = kept.std().item()
    return spread, spread / math.sqrt(2 * (len(kept) - 1))
