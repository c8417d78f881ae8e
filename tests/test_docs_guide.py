"""The guide's Python, run as it stands there."""

import re
import runpy
from pathlib import Path

import pytest

from genshift.evaluation import adaptation

GUIDE = (Path(__file__).parents[1] / "docs" / "guide" / "python.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("quick")
def test_the_python_of_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adaptation, "TSNE_IMAGES", 40)
    text = GUIDE
    (tmp_path / "guide.py").write_text(re.search(r"```python\n(.*?)```", text, re.S).group(1), encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "guide.py"))
    assert names["run"].finished and names["run"].config["seed"] == 1
    assert len(names["answers"]) == 200 and names["answers"][0].label in names["model"].classes
    assert names["features"].shape == (200, 64) and (tmp_path / "runs" / "dann" / "page.html").exists()
