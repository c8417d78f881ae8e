"""Order, numbers and augmentation: functions of (seed, images seen), the same on every process."""

import math
import subprocess
import sys

import pytest
import torch

from genshift.data import Augment, Stream, load, seed_of, to_float
from genshift.errors import Refusal


def test_seed_of_is_the_same_everywhere():
    assert seed_of("stream", 0, "source", 1) == 2108520805746260100
    assert 0 <= seed_of() < 2**63
    assert len({seed_of("a", "b"), seed_of("ab"), seed_of("a", 1), seed_of("a", "1"), seed_of(1, "a")}) == 5
    code = "from genshift.data import seed_of; print(seed_of('x', 1))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(out.stdout) == seed_of("x", 1)


def test_a_stream_shows_every_image_once_an_epoch_in_another_order():
    order = Stream(10, 0, "source").indices(0, 30).view(3, 10)
    assert order.dtype == torch.int64 and (order.sort(1).values == torch.arange(10)).all()
    assert len({tuple(row) for row in order.tolist()}) == 3


def test_a_stream_is_a_function_of_the_place_alone():
    whole = Stream(7, 5, "target").indices(0, 100)
    pieces = Stream(7, 5, "target")
    for start, count in ((50, 13), (0, 1), (6, 2), (93, 7), (20, 60), (3, 0)):
        assert torch.equal(pieces.indices(start, count), whole[start : start + count])
        assert len(pieces._epochs) <= 2
    assert not torch.equal(Stream(7, 6, "target").indices(0, 100), whole)
    assert not torch.equal(Stream(7, 5, "source").indices(0, 100), whole)
    with pytest.raises(Refusal, match="no image"):
        Stream(0, 0, "x")


def test_two_processes_share_what_one_would_see():
    one = Stream(100, 0, "x").indices(640, 64)
    two = [Stream(100, 0, "x").indices(640 + 32 * rank, 32) for rank in range(2)]
    assert torch.equal(torch.cat(two), one)


def test_to_float():
    x = torch.arange(0, 192, dtype=torch.uint8).view(4, 3, 4, 4)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    expected = (x / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(to_float(x, mean, std), expected) and torch.equal(to_float(x), x.float() / 255)
    assert x.dtype == torch.uint8 and x[0, 0, 0, 1] == 1
    last = to_float(x, mean, std, memory_format=torch.channels_last)
    assert last.is_contiguous(memory_format=torch.channels_last) and torch.equal(last, to_float(x, mean, std))
    grey = to_float(x[:, :1], 0.5, 0.5, channels=3)
    assert grey.shape == (4, 3, 4, 4) and grey.is_contiguous() and torch.equal(grey[:, 0], grey[:, 2])
    assert to_float(x[:, :1], mean, std, channels=3)[0, :, 0, 0].tolist() == pytest.approx([-0.2, -1 / 3, -3 / 7])


def test_augmentation_is_a_function_of_seed_and_images_seen():
    augment = Augment(flip=0.5, degrees=10, shift=0.1, scale=0.1)
    maps = augment.draw(8, 0, 640)
    assert torch.equal(maps, augment.draw(8, 0, 640)) and not torch.equal(maps, augment.draw(8, 0, 648))
    x = to_float(load("uci", "test").images[:8])
    halves = torch.cat([augment.apply(x[:4], maps[:4]), augment.apply(x[4:], maps[4:])])
    assert torch.allclose(halves, augment.apply(x, maps), atol=1e-6), "a process may take its own rows"


def test_flips_alone_are_exact_and_idle_does_nothing():
    x = to_float(load("uci", "test").images[:64])
    augment = Augment(flip=0.5)
    y = augment.apply(x, augment.draw(64, 0, 0))
    same = [torch.equal(a, b) for a, b in zip(x, y, strict=True)]
    turned = [torch.equal(a.flip(-1), b) for a, b in zip(x, y, strict=True)]
    assert all(a or b for a, b in zip(same, turned, strict=True)) and 16 < sum(turned) < 48
    sampled = Augment(flip=1.0, degrees=1e-9)
    assert torch.allclose(sampled.apply(x, sampled.draw(64, 0, 0)), x.flip(-1), atol=1e-5)
    assert Augment().idle and Augment().apply(x, Augment().draw(64, 0, 0)) is x


def test_moves_stay_within_their_bounds():
    maps = Augment(degrees=10, shift=0.125, scale=0.2).draw(4000, 0, 0)
    angle = torch.atan2(maps[:, 1, 0], maps[:, 0, 0])
    grow = 1 / torch.linalg.vector_norm(maps[:, :, 0], dim=1)
    assert angle.abs().max() <= math.radians(10) + 1e-6 and angle.abs().max() > math.radians(9.9)
    assert maps[:, :, 2].abs().max() <= 0.25 and grow.min() >= 0.8 - 1e-6 and grow.max() <= 1.2 + 1e-6


def test_recolouring_reorders_and_inverts_channels_and_leaves_the_rest():
    x = torch.rand(500, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    u = torch.rand(500, 7, generator=torch.Generator().manual_seed(1))
    y = Augment(recolour=0.6).colours(x, u, 0.5)
    same = (y == x).flatten(1).all(1)
    assert same[u[:, 0] >= 0.6].all() and 0.35 < same.double().mean() < 0.47
    seen = torch.cat([x, 1 - x], 1)[:, None]  # each channel comes from one of the three, inverted or not
    assert torch.isclose(y[:, :, None], seen).all((3, 4)).any(2).all()
    upright = torch.isclose(y.sort(1).values, x.sort(1).values).flatten(1).all(1)  # at each place the same values
    assert 0.06 < upright[~same].double().mean() < 0.18  # no inversion: 5 of 47
    middle = Augment(recolour=1.0).colours(torch.zeros(64, 3, 1, 1), u[:64], 0.0)
    assert (middle == 0).all()
