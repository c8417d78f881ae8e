"""The one form in which genshift holds images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genshift.data.room import gathered, images_a_piece
from genshift.errors import Refusal, unknown


@dataclass(frozen=True)
class ImageSet:
    """Images, and perhaps labels, under one name.

    images: uint8 `[N, C, H, W]`, C = 1 (grey) or 3 (RGB), values 0 to 255; may be backed by a memory-mapped file.
    labels: int64 `[N]`, each in `range(len(classes))`, or None where there are none or they are sealed.
    classes: the classes' names, in label order; empty where there are no labels.
    attributes: uint8 `[N, A]` of 0 and 1 (CelebA's), with their names, or None.
    notes: sentences for the user, e.g. that a file is not the published one.
    digests: uint8 `[N, 16]`, each picture's file by its content (BLAKE2b), or None where many images lie in one file.
    catalogued: whether it is a set of the catalogue, found by its name.
    """

    name: str
    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    digests: Tensor | None = None
    catalogued: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def sealed(self) -> ImageSet:
        """The same images without any label: what an adaptation method may see of its target."""
        return replace(self, labels=None, attributes=None, attribute_names=())

    def checked(self, where: object) -> ImageSet:
        """This set. Raises Refusal, which names `where` it came from, for labels that its classes do not cover, which
        training would take for an index, and for attributes that are not 0 or 1."""
        for what, names in (("classes", self.classes), ("attributes", self.attribute_names)):
            if len(set(names)) < len(names):
                alike = max(names, key=names.count)
                raise Refusal(f"{where} names two {what} '{alike}': give each a name of its own, and make it again.")
        shape = (len(self), len(self.attribute_names))
        _check_values(where, "label", self.labels, torch.int64, shape[:1], len(self.classes))
        _check_values(where, "attribute", self.attributes, torch.uint8, shape, 2)
        return self

    def take(self, indices: Tensor | slice) -> ImageSet:
        """The images (with their labels and attributes) at `indices`, int64 `[M]`, in that order.

        A slice gives views, so that a memory map stays one; of others, what takes much of memory lies in a file too.
        """
        return replace(
            self,
            images=self.images[indices] if isinstance(indices, slice) else gathered(self.images, indices),
            labels=None if self.labels is None else self.labels[indices],
            attributes=None if self.attributes is None else self.attributes[indices],
            digests=None if self.digests is None else self.digests[indices],
        )

    def to(self, device: torch.device | str) -> ImageSet:
        """The same set with its images, labels and attributes on `device`."""
        return replace(
            self,
            images=self.images.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            attributes=None if self.attributes is None else self.attributes.to(device),
        )

    def attribute(self, name: str) -> Tensor:
        """Which images have the attribute `name`, e.g. 'Male': bool `[N]`; Refusal where there is none of it."""
        if self.attributes is None:
            raise Refusal(
                f"'{self.name}' has no attributes, so none named '{name}': give celeba with its "
                "list_attr_celeba.txt beside it."
            )
        if name not in self.attribute_names:
            raise unknown("attribute", name, self.attribute_names)
        return self.attributes[:, self.attribute_names.index(name)].bool()

    def by_attribute(self, name: str) -> ImageSet:
        """The same images in two classes: without the attribute `name`, and with it; Refusal where there is none."""
        return replace(self, labels=self.attribute(name).long(), classes=(f"no {name}", name))

    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) of pixels, labels and attributes: the same data gives the same text."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        for chunk in self.images.split(images_a_piece(self.images)):
            digest.update(chunk.contiguous().cpu().numpy())
        for tensor in (self.labels, self.attributes):
            if tensor is not None:
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def _check_values(
    where: object, what: str, values: Tensor | None, kind: torch.dtype, shape: tuple[int, ...], below: int
) -> None:
    """Refuses values of another type or shape, or out of `range(below)`."""
    if values is None:
        return
    if values.dtype != kind or tuple(values.shape) != shape:
        given = f"{what}s of {values.dtype} {tuple(values.shape)}"
        raise Refusal(f"{where} has {given}: expected {kind} {shape}; make it again.")
    if len(wrong := ((values < 0) | (values >= below)).nonzero()):
        place, value = int(wrong[0, 0]), int(values[tuple(wrong[0])])
        raise Refusal(
            f"{where} has the {what} {value} at image {place:,}: expected 0 to {below - 1}; correct or make it again."
        )
