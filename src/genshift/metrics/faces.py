"""On how many images does a face detector find a face? dlib's HOG detector of frontal faces (extra `faces`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genshift.errors import Refusal

SIDE = 160  # pixels of the enlarged image: dlib's window is 80 pixels, and its features are cells of 8
MARGIN = 1 / 8  # of the side, on each: a face that fills its image leaves the window no room
IMAGES = 256  # at a time: bounds the enlarged copies


def has_face(images: Tensor) -> Tensor:
    """Whether dlib finds at least one frontal face, bool [N], in each of `images` uint8 [N, 1 or 3, H, W].

    An image is continued at its rim by an eighth of its side and enlarged (bicubic) so that it measures 160 pixels
    without that margin, whatever its own side; the detector's threshold is its own. Profiles and faces in deep shade
    are missed in real images too: put the rate on real images of the same side and crop beside the rate on samples.
    Raises Refusal where dlib is absent, ValueError for another shape or type.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images are {images.dtype} {tuple(images.shape)}: expected uint8 [N, 1 or 3, H, W]")
    try:
        import dlib
    except ImportError as error:
        raise Refusal(
            "The face-detection rate needs dlib, which is not installed: `pip install 'genshift[faces]'` installs it."
        ) from error
    detector = dlib.get_frontal_face_detector()
    enlarged = (image for chunk in images.cpu().split(IMAGES) for image in _enlarged(chunk).numpy())
    # 0: the detector does not enlarge further.
    return torch.tensor([len(detector(image, 0)) > 0 for image in enlarged], dtype=torch.bool)


def _enlarged(images: Tensor) -> Tensor:
    """uint8 [N, C, H, W] → uint8 [N, h, w, 3], the longer side SIDE pixels besides its margins."""
    margin = round(MARGIN * max(images.shape[-2:]))
    padded = F.pad(images.float().expand(-1, 3, -1, -1), (margin,) * 4, mode="replicate")
    factor = SIDE / max(images.shape[-2:])
    height, width = (round(factor * side) for side in padded.shape[-2:])
    large = F.interpolate(padded, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    return large.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
