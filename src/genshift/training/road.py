"""Which road `adapt` takes with a user's folders, and why; what pretrained weights would change."""

from __future__ import annotations

import torch
from torch import Tensor

from genshift.presets import Preset
from genshift.presets.base import BY_SIZES
from genshift.presets.benchmark import PHOTOS
from genshift.training.training_data import TrainingData

LOOKED_AT = 200  # pictures of a set
SIDE = 32  # pixels that they are looked at with
# Share of different colours (of 32 values a channel) among the pixels of the median picture, from which a set is one of
# photographs or drawings (ours: photos have 0.36, paintings 0.48, cartoons 0.21; SVHN and MNIST-M 0.16, USPS 0.03).
COLOURFUL = 0.2


def road_taken(preset: Preset, data: TrainingData) -> list[str]:
    """The first lines of a run of `adapt`; none of other presets."""
    options = preset.options()
    if preset.name == PHOTOS:
        return [
            f"adapt takes the road with pretrained weights, since --weights {options['weights']} names them: "
            f"features of {options['backbone']} at {preset.size} pixels are computed once and kept, and a linear head "
            f"is self-trained on them in {options['rounds']} rounds."
        ]
    if preset.name != "adapt":
        return []
    own = f"a network of its own learns at {preset.size} pixels"
    if preset.origins.get("size") == BY_SIZES:
        own += ", for the pictures of both folders are at least that large"
    lines = [f"adapt takes the road from scratch, since no --weights are given: {own}."]
    if any(colourful(part.images.images) for part in data.parts.values()):
        lines.append(
            "These look like photographs or drawings, of which little is learnt from scratch: --weights download "
            "(SqueezeNet, 5 MB) or --weights FILE would rest on what ImageNet taught, and answer within a minute; of "
            "PACS's paintings, by photos, 71% were right so and 25% from scratch (docs/guide/photographs.md)."
        )
    return lines


def colourful(images: Tensor) -> bool:
    """Whether uint8 `[N, C, H, W]` look like photographs or drawings, rather than digits, letters or signs."""
    every = max(1, images.shape[-1] // SIDE)
    shown = images[:: max(1, len(images) // LOOKED_AT), :, ::every, ::every].long() >> 3
    if shown.shape[1] == 1:
        return False
    colours = (shown[:, 0] << 10 | shown[:, 1] << 5 | shown[:, 2]).flatten(1)
    shares = torch.tensor([len(picture.unique()) / len(picture) for picture in colours])
    return shares.median().item() >= COLOURFUL
