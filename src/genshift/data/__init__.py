"""From files to `ImageSet`: catalog and downloads, one reader a format, MNIST-M, packing, checks, batches.

Names are imported when they are first used, so that `genshift.data.catalog` can be read without importing
torch.
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
    from genshift.data.check import check_set as check_set
    from genshift.data.check import contact_sheet as contact_sheet
    from genshift.data.check import describe as describe
    from genshift.data.download import get as get
    from genshift.data.imageset import ImageSet as ImageSet
    from genshift.data.loading import load as load
    from genshift.data.loading import load_named as load_named
    from genshift.data.packed import open_packed as open_packed
    from genshift.data.packed import pack as pack
    from genshift.data.places import cache_root as cache_root
    from genshift.data.places import locate as locate
    from genshift.data.places import roots as roots

_HOMES = {
    "Augment": "augment",
    "ImageSet": "imageset",
    "Stream": "batches",
    "build_mnistm": "build",
    "cache_root": "places",
    "check_domains": "check",
    "check_set": "check",
    "contact_sheet": "check",
    "describe": "check",
    "get": "download",
    "load": "loading",
    "load_named": "loading",
    "locate": "places",
    "open_packed": "packed",
    "pack": "packed",
    "roots": "places",
    "seed_of": "batches",
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
