"""Fixtures that several test files share; `tiny.py` holds the helpers."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy and torch read it when they are imported

import pytest
import tiny
import torch
from untouched import no_data_of_this_machine  # noqa: F401  # for every test

from genshift import plugins
from genshift.data import dataset
from genshift.presets import PRESETS, benchmark, methods
from genshift.training import probe


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small batches gain nothing from more, and processes beside these tests lose by it; OMP_NUM_THREADS says so to the
    other libraries."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def domains(tmp_path_factory):
    """Two tiny domains of the same digits: (source, target), packed sets with train and test."""
    root = tmp_path_factory.mktemp("domains")
    return tiny.write_domain(root / "one", 0), tiny.write_domain(root / "two", 1)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Packed sets of 24 pictures with two classes and three attributes, by side: 16 and 64."""
    root = tmp_path_factory.mktemp("faces")
    return {side: tiny.write_faces(root / str(side), side) for side in (16, 64)}


@pytest.fixture
def quick(monkeypatch):
    """As `tiny.be_quick`."""
    tiny.be_quick(monkeypatch.setattr)


@pytest.fixture
def whole_probe(quick, monkeypatch):
    """The probe as users have it."""
    for name, value in tiny.PROBE.items():
        monkeypatch.setattr(probe, name, value)


@pytest.fixture
def forget_plugins():
    """What a test registers from outside the package is forgotten after it."""
    known = (methods.METHODS, PRESETS, benchmark.BACKBONES, dataset._sets, plugins._loaded)
    before = [dict(table) for table in known]
    yield
    for table, entries in zip(known, before, strict=True):
        table.clear()
        table.update(entries)
