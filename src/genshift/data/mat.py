"""Reader of SVHN's MATLAB files (`train_32x32.mat` and its like)."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genshift.data.bounds import check_bound
from genshift.data.dataset import DIGITS
from genshift.data.files import damaged
from genshift.data.imageset import ImageSet
from genshift.errors import Refusal, of_exhaustion, of_os_error


def read_digits(name: str, path: Path, labels: bool = True, limit: int | None = None) -> ImageSet:
    """`X` uint8 `[32, 32, 3, N]`, `y` `[N, 1]` → images `[N, 3, 32, 32]`, labels with 10 as digit 0."""
    content = _load(path, ["X", "y"] if labels else ["X"])
    x_HWCN = content.get("X")
    if not isinstance(x_HWCN, np.ndarray) or x_HWCN.ndim != 4 or x_HWCN.shape[2] != 3 or x_HWCN.dtype != np.uint8:
        raise Refusal(
            f"{path} holds no variable X of bytes [32, 32, 3, N]: expected SVHN's cropped digits; fetch it again."
        )
    if x_HWCN.shape[3] == 0:
        raise Refusal(f"{path} holds no image: expected one or more.")
    # MATLAB stores the image's number last; here it is the first axis, and channels the second.
    images = torch.from_numpy(np.ascontiguousarray(x_HWCN.transpose(3, 2, 0, 1)[:limit]))
    if not labels:
        return ImageSet(name, images, classes=DIGITS)
    return ImageSet(name, images, _labels(path, content.get("y"), x_HWCN.shape[3])[:limit], DIGITS)


def _labels(path: Path, y: Any, count: int) -> torch.Tensor:
    """int64 `[N]`, 0 to 9; MATLAB counts from 1, so the files say 10 for the digit 0."""
    if not isinstance(y, np.ndarray) or y.size != count:
        given = y.size if isinstance(y, np.ndarray) else 0
        raise Refusal(f"{path} holds {given:,} labels y for {count:,} images X: expected one an image; fetch it again.")
    flat = y.reshape(-1)
    wrong = np.flatnonzero(~np.isin(flat, np.arange(0, 11)))
    if wrong.size:
        raise Refusal(f"{path} holds label {flat[wrong[0]]} at image {wrong[0]}: expected 1 to 10; fetch it again.")
    return torch.from_numpy(flat.astype(np.int64) % 10)


def _load(path: Path, variables: list[str]) -> dict[str, Any]:
    """The named variables of a file; Refusal where it does not read."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise Refusal(f"There is no file {path}: check the path.")
    # A file that is cut short surfaces as whichever of these the reader meets first.
    broken = (MatReadError, ValueError, TypeError, KeyError, IndexError, EOFError, NotImplementedError,
              OverflowError, zlib.error, struct.error)  # fmt: skip
    try:
        for name, shape, _ in whosmat(str(path)):
            check_bound("bytes", math.prod(shape), f"{name} of {path}")
        return loadmat(str(path), variable_names=variables)
    except MemoryError as error:
        raise of_exhaustion(error, f"reading {path}") from error
    except broken as error:
        raise damaged(path, "a whole MATLAB file, version 5", error) from error
    except OSError as error:
        if error.errno is None:  # scipy's own complaint of the content, and none of the system's
            raise damaged(path, "a whole MATLAB file, version 5", error) from error
        raise of_os_error(error, f"reading {path}") from error
