"""The demo: hw2's networks and rule on the embedded digits, at a budget of seconds."""

from __future__ import annotations

from collections.abc import Iterator

from genshift.presets.adaptation import Adaptation
from genshift.presets.base import HALF_LIFE
from genshift.presets.reports import BOUNDS_AND_DANN


def _demo(method: str) -> Adaptation:
    """The demo's three runs: hw2's networks and rule on the embedded digits, at a budget of seconds."""
    adapts = method == "dann"
    return Adaptation(
        name=f"demo-{method}",
        study="demo",
        method=method,
        networks="hw2",
        source="uci",
        target="uci-m",
        images=12_800,
        lr=3e-4,
        ema_half_life=HALF_LIFE,
        validation=0.05,
        adversary="alternating" if adapts else "none",
        lam=0.1 if adapts else 0.0,
        origins={},
    )


def all_presets() -> Iterator[Adaptation]:
    """Every preset of the demo."""
    yield from (_demo(method) for method in BOUNDS_AND_DANN)
