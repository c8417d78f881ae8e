"""What the runs of a study need, looked for before the first of them: data sets, and what installs apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from genshift.data.build import build_mnistm
from genshift.data.catalog import entry, lookup
from genshift.data.files import open_files
from genshift.data.pictures import is_picture
from genshift.data.places import absent, find, roots
from genshift.errors import Refusal
from genshift.paths import given_path
from genshift.presets import Preset
from genshift.studies.jobs import Job

MNISTM = "mnistm"
PHOTOS = ("bsds500", "BSDS500")  # folders of photos, as they are called below a data root
BY_HAND = "`genshift data build mnistm --photos DIR`"


def sets_of(preset: Preset) -> list[str]:
    """The sets that a preset reads: catalogued ones by their names, folders by their paths."""
    options = preset.options()
    return [options[part] for part in ("source", "target", "data") if part in options]


def missing_sets(
    jobs: Sequence[Job], data_root: Path | None, photos: Path | None, say: Callable[[str], None], build: bool
) -> dict[str, str]:
    """The sets that are not on this machine, each with a sentence that says how to get it.

    MNIST-M is built into the cache where it is needed and not here whole, but MNIST and photos are: those in `photos`,
    else BSDS500's. Where not `build`, it is only said that it would be.
    """
    missing = {}
    for name in dict.fromkeys(name for job in jobs for name in sets_of(job.preset)):
        try:
            if name == MNISTM:
                _provide_mnistm(data_root, photos, say, build)
            elif lookup(name) is not None:
                _check_there(name, data_root)
            elif not given_path(name).exists():
                raise Refusal(f"There is no {name}.")
        except Refusal as refusal:
            missing[name] = str(refusal)
    return missing


def _check_there(name: str, data_root: Path | None) -> None:
    if find(entry(name), "train", data_root) is None:
        raise absent(entry(name), "train", data_root)


def _provide_mnistm(data_root: Path | None, photos: Path | None, say: Callable[[str], None], build: bool) -> None:
    """Refuses where MNIST-M is neither here whole nor can be built."""
    here, published = _pictures_of_mnistm(data_root), entry(MNISTM).published_counts["train"]
    if here >= published:
        return
    folders = [root / name for root in roots(data_root) for name in PHOTOS] if photos is None else [photos]
    found = next((folder for folder in folders if folder.is_dir()), None)
    part = f"only {here:,} of MNIST-M's {published:,} pictures are here" if here else "MNIST-M is not here"
    if found is None or find(entry("mnist"), "train", data_root) is None:
        lacks = "photos" if found is None else "MNIST"
        raise Refusal(
            f"{part[0].upper()}{part[1:]}, and no {lacks} to build it from: {BY_HAND} does, DIR holding any photos."
        )
    if build:
        say(f"note: {part}: building it from MNIST and {found}, once …")
        build_mnistm(found, None, data_root)
    else:
        say(f"note: {part}: it will be built from MNIST and {found}, once.")


def _pictures_of_mnistm(data_root: Path | None) -> int:
    """How many pictures of MNIST-M there are to train on."""
    place = find(entry(MNISTM), "train", data_root)
    if place is None:
        return 0
    if place.built:  # of whatever size: its user built it
        return entry(MNISTM).published_counts["train"]
    unpacked = place.path.is_dir()
    names = open_files(place.path).names
    return sum(is_picture(name) and (unpacked or "mnist_m_train/" in name) for name in names)


def unmeasured(jobs: Sequence[Job]) -> list[str]:
    """What will not be measured of these runs, for lack of what installs apart, or of Inception's weights."""
    drawing = [job for job in jobs if job.preset.draws]
    lacking = []
    if any(job.preset.task == "celeba" for job in drawing) and find_spec("dlib") is None:
        lacking.append("Without face rates: dlib is not installed; `pip install 'genshift[faces]'` installs it.")
    if drawing and all(job.evaluation.weights is None for job in drawing):
        lacking.append("Without FID: --weights FILE names Inception's weights.")
    elif drawing and find_spec("torch_fidelity") is None:
        lacking.append("Without FID: torch-fidelity is not installed; `pip install 'genshift[fid]'` installs it.")
    return lacking
