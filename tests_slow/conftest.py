"""What readers meet, tried whole: tutorials, notebooks, the studio, the site. The helpers of `tests/` are at hand."""

import os
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from documents import Shell, blocks_of, reader
from untouched import no_data_of_this_machine  # noqa: F401  # for every test

ROOT = Path(__file__).parents[1]
# Of every process that these tests start: where others want the cores, two threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
READ = ("src", "docs", "pyproject.toml", "README.md", "LICENSE")  # what a tutorial meets of the project


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A copy of the project, into which the tutorials' own first commands installed genshift and nothing else.

    Only PyTorch's version is kept from outside: the one of the tests, so that a CPU build suffices.
    """
    project = tmp_path_factory.mktemp("installed") / "genshift"
    project.mkdir()
    for name in READ:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, project / name)
    constraints = project.parent / "constraints.txt"
    constraints.write_text(f"torch=={version('torch')}\n", encoding="utf-8")
    with Shell(project, reader(PIP_CONSTRAINT=str(constraints))) as shell:
        shell.run(blocks_of("student")[0].text)
    return project
