"""Muon, beside singular values by torch's SVD and beside torch's own Muon of two dimensions."""

import pytest
import torch

from genshift.methods.muon import ITERATIONS, QUINTIC, Muon, orthogonal
from genshift.methods.schedules import make_optimizer
from genshift.runs.checkpoint import pack_optimizer, unpack_optimizer


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (20, 20)])
def test_singular_vectors_stay_and_values_pass_through_the_quintic(shape):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    a, b, c = QUINTIC
    s = s / s.square().sum().sqrt()
    for _ in range(ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    torch.testing.assert_close(orthogonal(matrix), u @ s.diag() @ v)


def test_a_kernel_steps_as_torchs_muon_steps_its_matrix():
    """torch's computes in bfloat16: the steps agree to its rounding, and so do two of them with momentum."""
    torch.manual_seed(0)
    start, grads = torch.randn(32, 16, 3, 3), torch.randn(2, 32, 16, 3, 3)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.flatten(1).clone())
    options = {"lr": 0.1, "weight_decay": 0.2}
    optimizers = Muon([ours], **options), torch.optim.Muon([theirs], **options, adjust_lr_fn="match_rms_adamw")
    for grad in grads:
        ours.grad, theirs.grad = grad.clone(), grad.flatten(1).clone()
        for optimizer in optimizers:
            optimizer.step()
    moved, expected = ours.flatten(1) - start.flatten(1), theirs - start.flatten(1)
    assert (moved - expected).norm() < 0.02 * expected.norm()


def test_what_is_no_wide_kernel_is_adamws():
    torch.manual_seed(0)
    shapes = ((8,), (20, 20), (32, 12, 3, 3), (12, 32, 3, 3))
    start = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(each.clone()) for each in start] for _ in range(2))
    kernel = torch.nn.Parameter(torch.randn(32, 16, 3, 3, dtype=torch.float64))
    pair = make_optimizer("muon", [*ours, kernel], 0.1, 0.2), torch.optim.AdamW(theirs, lr=0.1, weight_decay=0.2)
    for _ in range(2):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = other.grad = one.detach().cos()
        kernel.grad = kernel.detach().cos()
        for optimizer in pair:
            optimizer.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_layout_and_autocast_change_roundings_alone():
    """The same step whether a kernel lies as [O, I, k, k] or channels_last, and a near one in bfloat16."""
    torch.manual_seed(0)
    start, grad = torch.randn(32, 16, 3, 3), torch.randn(32, 16, 3, 3)
    moved = {}
    for name in ("plain", "channels_last", "bfloat16"):
        p = torch.nn.Parameter(start.clone())
        if name == "channels_last":
            p = torch.nn.Parameter(start.clone(memory_format=torch.channels_last))
        p.grad = grad.clone()
        with torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16"):
            Muon([p], lr=0.1, weight_decay=0.0).step()
        moved[name] = p.detach() - start
    torch.testing.assert_close(moved["channels_last"], moved["plain"], rtol=1e-4, atol=1e-5)
    assert 0 < (moved["bfloat16"] - moved["plain"]).norm() < 0.06 * moved["plain"].norm()


def test_a_step_has_the_size_of_adams():
    p = torch.nn.Parameter(torch.zeros(32, 16, 3, 3))
    p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    Muon([p], lr=1.0, weight_decay=0.0).step()
    assert p.detach().square().mean().sqrt().item() == pytest.approx(0.2, rel=0.25)


def test_a_stored_optimizer_goes_on_as_if_never_stored():
    torch.manual_seed(0)
    start = [torch.randn(32, 16, 3, 3).contiguous(memory_format=torch.channels_last), torch.randn(7)]
    one, other = ([torch.nn.Parameter(each.clone()) for each in start] for _ in range(2))
    first, second, third = (make_optimizer("muon", each, 0.1) for each in (one, other, other))
    for parameters, optimizers in ((one, (first, first)), (other, (second, third))):
        for step, optimizer in enumerate(optimizers):
            if optimizer is third:
                unpack_optimizer("all", third, pack_optimizer("all", second))
            for number, p in enumerate(parameters):
                p.grad = (p.detach() + step + number).cos()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
