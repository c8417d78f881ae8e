"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): steps that turn a matrix without stretching it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.775, 2.0315)  # the post's coefficients: singular values end between 0.7 and 1.2
ITERATIONS = 5
MOMENTUM = 0.95
AS_ADAM = 0.2  # root mean square of a step's entries at learning rate 1, as Adam's (arXiv 2502.16982, equation 4)
NARROW = 16  # kernels with fewer channels than this on either side, as the first and last layers have, are AdamW's


class Muon(torch.optim.AdamW):
    """AdamW; the kernels of convolutions by Muon instead, at the same learning rate.

    A kernel `[O, I, k, k]` is taken as a matrix `[O, I k k]`. Its gradient's moving average (Nesterov's) is replaced by
    a nearly orthogonal matrix of the same directions: every one is learnt at the same pace, where Adam follows the few
    that dominate. `torch.optim.Muon` does the same for parameters of two dimensions, in bfloat16 alone; here the
    products are in the parameters' own type, or in autocast's where `step` is called within one.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, **options: Any) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, **options)
        self.kernels = [p for p in self.param_groups[0]["params"] if p.ndim == 4 and min(p.shape[:2]) >= NARROW]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on every parameter that has a gradient."""
        grads = [(p, p.grad) for p in self.kernels if p.grad is not None]
        for p, _ in grads:
            p.grad = None  # AdamW passes these by
        super().step()
        for p, grad in grads:
            p.grad = grad
            self._turn(p, grad)

    def _turn(self, p: Tensor, grad: Tensor) -> None:
        group = self.param_groups[0]
        state = self.state[p]
        if not state:
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(p))  # AdamW loads no state without its step
        state["step"] += 1
        mean = state["momentum"].lerp_(grad, 1 - MOMENTUM)
        turn = orthogonal(_rows(grad.lerp(mean, MOMENTUM)).flatten(1))
        rate = group["lr"] * AS_ADAM * max(turn.shape) ** 0.5
        p.mul_(1 - group["lr"] * group["weight_decay"])
        rows = _rows(p)
        rows.sub_(turn.view(rows.shape), alpha=rate)


def _rows(kernel: Tensor) -> Tensor:
    """`[O, k, k, I]`: as channels_last lies in memory; which column of a matrix is which makes no difference."""
    return kernel.permute(0, 2, 3, 1)


def orthogonal(matrix: Tensor) -> Tensor:
    """`[M, N]` with the same singular vectors and singular values near 1, by five Newton-Schulz iterations: each
    takes every singular value s, at most 1, to a s + b s³ + c s⁵."""
    a, b, c = QUINTIC
    dtype = torch.get_autocast_dtype(matrix.device.type)
    x = matrix.to(dtype if torch.is_autocast_enabled(matrix.device.type) else matrix.dtype)
    x = x if len(x) <= x.shape[1] else x.t()
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.t()
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if len(matrix) <= matrix.shape[1] else x.t()
