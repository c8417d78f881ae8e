"""Which of two classifiers is right where they differ, by the pictures that lie nearest; no label is needed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genshift.metrics.neighbours import nearest_of

NEIGHBOURS = 5


def neighbour_votes(said: tuple[Tensor, Tensor], features: tuple[Tensor, Tensor]) -> tuple[int, int, int]:
    """Of N unlabelled pictures, to which two classifiers gave the classes `said`, int64 `[N]` each, by `features`
    `[N, D]` of each: on how many they differ, and how many of those go to the first and to the second.

    A picture goes to the class that its NEIGHBOURS nearest have in both spaces together, weighed by the cosine, among
    the pictures on which the classifiers agree: what two models that were taught otherwise both say is seldom wrong. It
    may go to neither. Ours, found on mnistm→usps with even and uneven classes (docs/guide/two-domains.md).
    """
    first, second = (answers.cpu() for answers in said)
    agree = first == second
    at, among = (~agree).nonzero().flatten(), agree.nonzero().flatten()
    if not len(at) or len(among) < NEIGHBOURS:
        return len(at), 0, 0
    classes = int(torch.cat([first, second]).max()) + 1
    votes = torch.zeros(len(at), classes, dtype=torch.float64)
    for space in (part.cpu() for part in features):
        distance, rows = nearest_of(space[at], space[among], NEIGHBOURS)
        weights = (1 - distance).clamp(min=0)[:, :, None]
        votes += (F.one_hot(first[among][rows], classes) * weights).sum(1)
    named = votes.argmax(1)
    return len(at), int((named == first[at]).sum()), int((named == second[at]).sum())
