"""Tiny data sets in every format that genshift reads, written by the tests themselves."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

RNG = np.random.default_rng(0)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write_mnist(root: Path, train: int = 40, test: int = 20, packed: bool = True) -> Path:
    """Four idx files in root/mnist; every digit has a stroke, so that blending shows."""
    folder = root / "mnist"
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 8:20, 12:16] = RNG.integers(1, 256, (count, 12, 4))
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
            data = idx_bytes(array)
            path = folder / f"{prefix}-{kind}-ubyte"
            if packed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, mtime=0))
            else:
                path.write_bytes(data)
    return folder


def libsvm_text(count: int, low: float = -1.0, high: float = 1.0, first: int = 1) -> bytes:
    rows = []
    for number in range(count):
        values = np.linspace(low, high, 256)
        rows.append(f"{number % 10 + first} " + " ".join(f"{i + 1}:{v:.6f}" for i, v in enumerate(values)))
    return ("\n".join(rows) + "\n").encode()


def write_usps(root: Path, train: int = 20, test: int = 10) -> Path:
    folder = root / "usps"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "usps.bz2").write_bytes(bz2.compress(libsvm_text(train)))
    (folder / "usps.t.bz2").write_bytes(bz2.compress(libsvm_text(test)))
    return folder


def write_svhn(root: Path, count: int = 20, labels: np.ndarray | None = None) -> Path:
    folder = root / "svhn"
    folder.mkdir(parents=True, exist_ok=True)
    x = RNG.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    y = np.arange(count) % 10 + 1 if labels is None else labels
    for split in ("train", "test"):
        scipy.io.savemat(folder / f"{split}_32x32.mat", {"X": x, "y": y.reshape(-1, 1).astype(np.uint8)})
    return folder


def png(array: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", **options)
    return stream.getvalue()


def noise(height: int = 32, width: int = 32, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def write_pictures(folder: Path, count: int = 4, height: int = 32, width: int = 32, channels: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(png(noise(height, width, channels)))
    return folder


def mnistm_members(count: int = 6) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    for split in ("train", "test"):
        lines = "".join(f"{number:08}.png {number % 10}\n" for number in range(count))
        members[f"mnist_m/mnist_m_{split}_labels.txt"] = lines.encode()
        for number in range(count):
            members[f"mnist_m/mnist_m_{split}/{number:08}.png"] = png(noise())
    return members


def write_tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_celeba(root: Path, count: int = 10, height: int = 109, width: int = 89) -> Path:
    folder = root / "celeba"
    write_zip(
        folder / "img_align_celeba.zip",
        {f"img_align_celeba/{n:06}.jpg": png(noise(height, width)) for n in range(1, count + 1)},
    )
    lines = [str(count), " ".join(f"A{number}" for number in range(40))]
    lines += [f"{n:06}.jpg " + " ".join("1" if (n + a) % 2 else "-1" for a in range(40)) for n in range(1, count + 1)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return folder


def cut(path: Path, share: float = 0.6) -> Path:
    """The file, cut short."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
