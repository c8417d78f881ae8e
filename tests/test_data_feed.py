"""The feed: what a step sees, whatever the number of processes."""

import pytest
import tiny
import torch

from genshift.data import Augment
from genshift.data.feed import Feed, PixelNormalization, TrainingSet
from genshift.errors import Refusal

RULE = PixelNormalization(0.5, 0.5)
MOVES = Augment(flip=0.5, degrees=10, shift=0.1, scale=0.1)


def feed(rank=0, processes=1, augment=None, batch=8):
    parts = {
        "source": TrainingSet(tiny.digits(40, 0), batch),
        "target": TrainingSet(tiny.digits(30, 1).sealed(), 2 * batch),
    }
    return Feed(parts, RULE, tiny.FLOAT32, 0, rank, processes, augment)


@pytest.mark.parametrize("augment", [None, MOVES])
@pytest.mark.parametrize("seen", [0, 32])
def test_two_processes_share_the_batch_of_one(augment, seen):
    whole = feed(augment=augment).at(seen)
    halves = [feed(rank, 2, augment).at(seen) for rank in (0, 1)]
    for name in ("source", "target"):
        assert torch.equal(whole[name].x, torch.cat([half[name].x for half in halves]))
    assert torch.equal(whole["source"].y, torch.cat([half["source"].y for half in halves]))
    assert whole["target"].y is None


def test_augmentation_moves_images_and_differs_by_step_and_domain():
    still, moved = feed().at(0), feed(augment=MOVES).at(0)
    assert not torch.equal(still["source"].x, moved["source"].x)
    assert torch.equal(moved["source"].x, feed(augment=MOVES).at(0)["source"].x)
    one_image = TrainingSet(tiny.digits(1, 0), 4)
    twins = Feed({"source": one_image, "target": one_image}, RULE, tiny.FLOAT32, 0, augment=MOVES)
    first, second = twins.at(0), twins.at(4)
    assert not torch.equal(first["source"].x, first["target"].x)
    assert not torch.equal(first["source"].x, second["source"].x)


def test_pixels_follow_the_stated_rule():
    images = tiny.digits(40, 0)
    batch = feed().at(0)["source"]
    place = feed().streams["source"].indices(0, 8)
    assert torch.allclose(batch.x, (images.images[place].float() / 255 - 0.5) / 0.5)
    assert torch.equal(batch.y, images.labels[place])


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(Refusal, match="batch of 9 does not divide among 2 processes"):
        feed(0, 2, batch=9)


def test_zipped_sets_begin_anew_together_when_the_shortest_ends():
    """As zip(source_loader, target_loader) over shuffling loaders that drop an incomplete batch."""
    parts = {"source": TrainingSet(tiny.digits(40, 0), 8), "target": TrainingSet(tiny.digits(37, 1).sealed(), 16)}
    zipped = Feed(parts, RULE, tiny.FLOAT32, 0, zipped=True)
    assert zipped.epoch == 2  # 37 of the target are two batches of 16
    for step in range(5):
        batch = zipped.at(8 * step)
        for name, part in parts.items():
            order = zipped.streams[name].permutation(step // 2)
            rows = order[part.batch * (step % 2) :][: part.batch]
            expected = RULE(part.images.images[rows], tiny.FLOAT32)
            assert torch.equal(batch[name].x, expected)
    # Walked, the source goes on to its own end.
    walked = Feed(parts, RULE, tiny.FLOAT32, 0)
    rows = walked.streams["source"].permutation(0)[16:24]
    assert torch.equal(walked.at(16)["source"].x, RULE(parts["source"].images.images[rows], tiny.FLOAT32))


def test_a_set_smaller_than_its_batch_cannot_be_zipped():
    parts = {"source": TrainingSet(tiny.digits(40, 0), 8), "target": TrainingSet(tiny.digits(9, 1).sealed(), 16)}
    with pytest.raises(Refusal, match="The target set has fewer images than a batch"):
        Feed(parts, RULE, tiny.FLOAT32, 0, zipped=True)
