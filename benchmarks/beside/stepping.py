"""Steps of a preset as genshift's loop takes them, its feed and its moving average included."""

from __future__ import annotations

from typing import Any

from genshift.data.feed import Feed
from genshift.methods.schedules import Progress
from genshift.training.ema import MovingAverage


class Stepping:
    """Takes the steps of `method`, from `seen` images on of `total`; who builds it sets them."""

    method: Any
    feed: Feed
    average: MovingAverage | None
    total: int
    seen: int

    def run(self, steps: int) -> None:
        """Takes so many."""
        self.method.train_mode(True)
        for _ in range(steps):
            self.method.step(self.feed.at(self.seen), Progress(self.seen, self.total))
            if self.average:
                self.average.update(self.method.networks, self.feed.batch, self.seen)
            self.seen += self.feed.batch
