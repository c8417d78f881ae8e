"""Each notebook from top to bottom, in an empty folder, by the kernel of the tests' own environment."""

import resource
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["adaptation", "diffusion"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells), "it is stored without outputs"
    before = _spent()
    nbclient.NotebookClient(book, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    print(f"{path.stem}: {_spent() - before:.0f} s of processor")
    shown = [output.data for cell in cells for output in cell.outputs if "data" in output]
    html = "".join(data.get("text/html", "") for data in shown)
    assert "data:image/png;base64," in html, "pictures"
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)
    assert "of 100" in _printed(cells) if path.stem == "diffusion" else "Entropy minimisation" in _printed(cells)


def _printed(cells):
    streams = [output for cell in cells for output in cell.outputs if output.output_type == "stream"]
    return "".join(output.text for output in streams if output.name == "stdout")


def _spent():
    """Seconds of processor of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
