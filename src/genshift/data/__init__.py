"""From files to images: everything between a name or a path and the batches of a training step.

- **What there is**: `dataset` says what a data set is and keeps the register; `sets/` holds the sets, one file each;
  `catalog` is the view of them by name. `places` finds a set on this machine, `download` fetches it.
- **Reading**: `loading.load` gives any set, folder, archive or file as one `ImageSet` (`imageset`): uint8 images, with
  labels or without. Readers by format: `idx`, `mat`, `libsvm`, `folders` (a user's own pictures, with `files`,
  `columns`, `formats`, `parts`, `pictures`, `pixels`, `text` and `bounds` below it), `packed` (memory-mapped arrays);
  `room` is where pixels go that memory does not hold.
  `build` and `blend` make MNIST-M.
- **Before training**: `check` looks at a set's pixels, describes it and compares two domains; `survey` tells all that
  lies in a user's folder, whatever its state.
- **Training**: `batches` (which image comes when, bytes to floats), `augment` and `strong` (weak and strong views),
  `feed` (the batches of a step). All are functions of (seed, images seen); nothing keeps a random state.

A new data set is one file in `sets/`, or in a plugin of the user's that calls `register`; a new format is a reader here
that sets share. What a preset makes of its sets (which split, what is held out) is decided in `genshift.training`.

Names are imported when they are first used, so that the declarations of the sets can be read without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genshift.data.augment import Augment as Augment
    from genshift.data.batches import Stream as Stream
    from genshift.data.batches import seed_of as seed_of
    from genshift.data.batches import to_float as to_float
    from genshift.data.build import build_mnistm as build_mnistm
    from genshift.data.check import check_domains as check_domains
    from genshift.data.check import check_pictures as check_pictures
    from genshift.data.check import check_set as check_set
    from genshift.data.check import contact_sheet as contact_sheet
    from genshift.data.check import describe as describe
    from genshift.data.dataset import DataFile as DataFile
    from genshift.data.dataset import DataSet as DataSet
    from genshift.data.dataset import Location as Location
    from genshift.data.dataset import ReadOptions as ReadOptions
    from genshift.data.dataset import register as register
    from genshift.data.download import get as get
    from genshift.data.imageset import ImageSet as ImageSet
    from genshift.data.loading import load as load
    from genshift.data.loading import load_named as load_named
    from genshift.data.packed import open_packed as open_packed
    from genshift.data.packed import pack as pack
    from genshift.data.places import cache_root as cache_root
    from genshift.data.places import locate as locate
    from genshift.data.places import roots as roots
    from genshift.data.survey import survey as survey

_HOMES = {
    "Augment": "augment",
    "DataFile": "dataset",
    "DataSet": "dataset",
    "ImageSet": "imageset",
    "Location": "dataset",
    "ReadOptions": "dataset",
    "Stream": "batches",
    "build_mnistm": "build",
    "cache_root": "places",
    "check_domains": "check",
    "check_pictures": "check",
    "check_set": "check",
    "contact_sheet": "check",
    "describe": "check",
    "get": "download",
    "load": "loading",
    "load_named": "loading",
    "locate": "places",
    "open_packed": "packed",
    "pack": "packed",
    "register": "dataset",
    "roots": "places",
    "seed_of": "batches",
    "survey": "survey",
    "to_float": "batches",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genshift.data' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"genshift.data.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
