"""The arms of each family of tasks, by name."""

from __future__ import annotations

from beside.arms import Arm


def arms_of(family: str) -> dict[str, type[Arm]]:
    """Those that train; only their own family's file is imported."""
    if family == "adaptation":
        from beside.adaptation import ARMS
    elif family == "diffusion":
        from beside.diffusion import ARMS
    else:
        from beside.vae import ARMS
    return ARMS
