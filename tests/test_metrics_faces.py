"""dlib's detector on real faces, on their ruins and on noise."""

import os
import sys
from pathlib import Path

import pytest
import torch

from genshift.data import load
from genshift.errors import Refusal
from genshift.metrics.faces import _enlarged, has_face

ROOT = Path(os.environ.get("GENSHIFT_DATA") or Path(__file__).parents[2] / "shared" / "data")


def noise(n: int, channels: int, *side: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, *side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_noise_and_flat_images_have_no_face():
    pytest.importorskip("dlib")
    images = torch.cat([noise(10, 3, 64, 64), torch.full((2, 3, 64, 64), 127, dtype=torch.uint8)])
    found = has_face(images)
    assert found.shape == (12,) and found.dtype == torch.bool and not found.any()
    assert has_face(noise(2, 1, 32, 48)).shape == (2,) and has_face(images[:0]).shape == (0,)


@pytest.mark.skipif(not (ROOT / "celeba").is_dir(), reason="no real faces on this machine")
def test_real_faces_are_found_and_upset_ones_are_not():
    pytest.importorskip("dlib")
    faces = load("celeba", "test", data_root=ROOT, size=64, limit=100).images
    found = has_face(faces)
    assert found.float().mean() > 0.85
    assert has_face(faces.flip(-1)).float().mean() > 0.85, "a mirror image is a face"
    assert has_face(faces.float().mean(1, keepdim=True).byte()).float().mean() > 0.8, "so is a grey one"
    assert has_face(faces.flip(-2)).float().mean() < 0.1, "upside down it is none"
    shuffled = faces.unflatten(2, (8, 8)).flip(2).flatten(2, 3)
    assert has_face(shuffled).float().mean() < 0.1, "nor with its bands in another order"
    assert torch.equal(has_face(faces[40:44]), found[40:44]), "an image's answer is its own"


def test_enlarging_keeps_what_is_there():
    images = noise(1, 3, 20, 40)
    large = _enlarged(images)
    assert large.shape == (1, 120, 200, 3) and large.dtype == torch.uint8, "160 and 80, and 20 more on each side"
    flat = _enlarged(torch.full((1, 1, 64, 64), 90, dtype=torch.uint8))
    assert flat.shape == (1, 200, 200, 3) and (flat == 90).all()
    middle = large[0, 20:100, 20:180].permute(2, 0, 1).float().unflatten(2, (40, 4)).unflatten(1, (20, 4)).mean((2, 4))
    assert torch.corrcoef(torch.stack([middle.flatten(), images[0].flatten().float()]))[0, 1] > 0.95


def test_without_dlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(Refusal, match=r"pip install 'genshift\[faces\]'"):
        has_face(noise(1, 3, 64, 64))


def test_images_of_another_form():
    with pytest.raises(ValueError, match="expected uint8"):
        has_face(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="1 or 3"):
        has_face(noise(1, 4, 64, 64))
