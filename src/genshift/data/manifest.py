"""Which images a run learns from, by their content: what is found again wherever it lies, and told where it is not.

A set of picture files is kept as one digest a picture, in the order of training; of a set whose images lie in one file
(idx, mat, packed) the pixels have one digest, and rows are known by their numbers. `genshift.runs` writes it to the run
folder; `genshift.training` arranges what it reads by it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genshift.data.catalog import lookup
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal
from genshift.paths import given_path


@dataclass(frozen=True)
class SetManifest:
    """One set that a run learns from.

    place: a set's name, or the absolute path that its images were read from. count: its images, N, in the order of
    training. content: the digest of its pixels, where many images lie in one file; '' otherwise. digests: uint8
    `[N, 16]` of its picture files, or None. held_out: int64, the rows that training does not see, in the order in which
    they are looked at. names: the pictures' files below the set; None of a target, whose folders may tell labels.
    beside: where those that a user gave to hold out were read from; '' where there are none.
    """

    place: str
    count: int
    content: str
    digests: Tensor | None
    held_out: Tensor
    names: tuple[str, ...] | None = None
    beside: str = ""

    @property
    def trained_on(self) -> Tensor:
        """int64, ascending: the rows that training draws from."""
        kept = torch.ones(self.count, dtype=torch.bool)
        kept[self.held_out] = False
        return kept.nonzero().flatten()

    def digest(self) -> str:
        """SHA-256 (first 16 hex digits) of which contents are trained on and which are held out, in any order."""
        content = hashlib.sha256(self.content.encode())
        for rows in (self.trained_on, self.held_out):
            content.update(len(rows).to_bytes(8, "big"))
            if self.digests is None:
                content.update(rows.sort().values.numpy().tobytes())
            else:
                keys = _keys(self.digests[rows].numpy())
                content.update(keys[np.lexsort((keys[:, 1], keys[:, 0]))].tobytes())
        return content.hexdigest()[:16]

    def rows_in(self, images: ImageSet) -> Tensor:
        """int64 `[N]`: where each image of this set lies in `images`, −1 where it is not there.

        Of pictures that are alike, as many as there are lie in the same order in both.
        """
        if self.digests is None or images.digests is None:
            same = self.digests is None and images.digests is None and pixels_of(images) == self.content
            return torch.arange(self.count) if same else torch.full((self.count,), -1)
        return torch.from_numpy(_matched(self.digests.numpy(), images.digests.numpy()))

    def strangers_in(self, images: ImageSet) -> Tensor:
        """int64: the images that are none of those that are trained on."""
        seen = torch.zeros(len(images), dtype=torch.bool)
        if self.digests is not None and images.digests is not None:
            own = replace(self, count=len(images), digests=images.digests)
            seen = own.rows_in(replace(images, digests=self.digests[self.trained_on])) >= 0
        return (~seen).nonzero().flatten()

    def arranged(self, images: ImageSet, what: str, wanted: Tensor | None = None) -> ImageSet:
        """The images of this set among `images`, in the order of training; Refusal where one is not there.

        wanted: int64, the rows of this set alone that are asked for. `what` names them to the user. A note tells of
        those that this set does not know.
        """
        rows = self.rows_in(images)
        rows = rows if wanted is None else rows[wanted]
        if missing := int((rows < 0).sum()):
            raise Refusal(
                f"{what} holds {len(rows) - missing:,} of the {len(rows):,} pictures that the run was begun with: "
                "restore the others, name the place where all of them lie, or name another --out."
            )
        if torch.equal(rows, torch.arange(len(images))):
            return images  # as it was: a memory map stays one
        notes = images.notes
        if wanted is None and (added := len(images) - len(rows.unique())):
            notes = (*notes, f"{added:,} pictures in {what} were not there when the run began: they are left out.")
        return replace(images.take(rows), notes=notes)


Manifest = dict[str, SetManifest]  # by the part that a set has in training: data, or source and target


@dataclass(frozen=True)
class Memory:
    """What the sets of a run are parted by.

    own: what it remembers of them; None of a run that begins now, empty of one that a genshift before 0.3 began.
    before: what the run that it starts from remembers; None where it starts from none.
    """

    own: Manifest | None = None
    before: Manifest | None = None


NEW = Memory()


def manifest_of(
    place: str,
    images: ImageSet,
    held_out: Tensor | None,
    names: tuple[str, ...] | None = None,
    beside: str = "",
) -> SetManifest:
    """What there is to remember of a set that was read from `place`."""
    rows = torch.empty(0, dtype=torch.int64) if held_out is None else held_out
    content = pixels_of(images) if images.digests is None else ""
    return SetManifest(standing(place), len(images), content, images.digests, rows, names, beside)


def standing(place: str) -> str:
    """A set's name, or a path that means the same from every folder."""
    return place if lookup(place) is not None else str(given_path(place).absolute())


def pixels_of(images: ImageSet) -> str:
    """The digest of all pixels, which no label moves."""
    return images.sealed().fingerprint()


def _keys(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Digests `[N, 16]` as two numbers each, `[N, 2]`, which sort as their bytes do and much faster."""
    return np.ascontiguousarray(digests).view(">u8")


def _matched(wanted: NDArray[np.uint8], given: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each row of `wanted` `[N, 16]` the place of its like in `given`, −1 where there is none: the k-th of equal
    rows to the k-th, and to the last where there are fewer."""
    keys = _keys(np.concatenate([wanted, given]))
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal ones stay in their order
    ordered = keys[order]
    group = np.concatenate([[0], (ordered[1:] != ordered[:-1]).any(1).cumsum()])
    is_given = order >= len(wanted)
    # Within a group the wanted come first; the k-th of them goes to the k-th of the given.
    counts = np.bincount(group[is_given], minlength=group[-1] + 1)
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    places = order[is_given] - len(wanted)
    asking = ~is_given
    first = np.searchsorted(group, group[asking])
    rank = np.flatnonzero(asking) - first
    found = counts[group[asking]] > 0
    which = starts[group[asking]] + np.minimum(rank, counts[group[asking]] - 1)
    matched = np.full(len(wanted), -1, dtype=np.int64)
    matched[order[asking][found]] = places[which[found]]
    return matched
