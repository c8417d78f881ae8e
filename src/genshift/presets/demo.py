"""The demo: hw2's networks and rule on the embedded digits, at a budget of seconds."""

from __future__ import annotations

from genshift.presets.adaptation import HW2Adaptation
from genshift.presets.base import HALF_LIFE
from genshift.presets.reports import BOUNDS_AND_DANN

PRESETS = tuple(
    HW2Adaptation(
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
        adversary="alternating" if method == "dann" else "none",
        lam=0.1 if method == "dann" else 0.0,
        origins={},
    )
    for method in BOUNDS_AND_DANN
)
