"""The image set: attributes go with their images, and are sealed with the labels."""

import pytest
import torch

from genshift.data import ImageSet
from genshift.errors import Refusal

FACES = ImageSet(
    "faces",
    torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2),
    attributes=torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1]], dtype=torch.uint8),
    attribute_names=("Male", "Young"),
)


def test_an_attribute_by_its_name():
    male = FACES.attribute("Male")
    assert male.dtype == torch.bool and male.tolist() == [True, False, True, False]
    assert FACES.attribute("Young").tolist() == [False, False, True, True]
    with pytest.raises(Refusal, match=r"no attribute 'male': did you mean 'Male'\?"):
        FACES.attribute("male")
    with pytest.raises(Refusal, match=r"no attribute 'xyzzy': expected one of Male, Young"):
        FACES.attribute("xyzzy")


def test_attributes_go_with_their_images():
    taken = FACES.take(torch.tensor([3, 0, 0]))
    assert taken.images[:, 0, 0, 0].tolist() == [3, 0, 0] and taken.attributes.tolist() == [[0, 1], [1, 0], [1, 0]]
    assert taken.attribute("Male").tolist() == [False, True, True]
    assert FACES.to("meta").attributes.device.type == "meta"


def test_attributes_are_sealed_with_the_labels():
    sealed = FACES.sealed()
    assert sealed.attributes is None and sealed.attribute_names == ()
    with pytest.raises(Refusal, match="'faces' has no attributes, so none named 'Male'"):
        sealed.attribute("Male")


def test_the_fingerprint_covers_attributes():
    other = FACES.attributes.clone()
    other[2, 0] = 0
    changed = ImageSet("faces", FACES.images, attributes=other, attribute_names=FACES.attribute_names)
    assert len({FACES.fingerprint(), changed.fingerprint(), FACES.sealed().fingerprint()}) == 3
