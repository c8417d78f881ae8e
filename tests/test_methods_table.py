"""A method's file and its row are all it takes: what lists, trains, compares, reports and cites methods has it by them.

Of every row of the table of methods.
"""

from pathlib import Path

import pytest
from report_fixtures import patch_json, write_run

import genshift
from genshift import api, presets, studies
from genshift.cli import listing
from genshift.methods import ClassifierMethod, class_of
from genshift.presets.methods import METHODS
from genshift.report.page import write_page
from genshift.report.results_md import write_results

SOURCE = Path(genshift.__file__).parent
# What else may name a method: a report's own, the bounds, the default of a user's folders.
NAMED = {"source", "target", "dann", "adda", "adamatch"}
EVERY = pytest.mark.parametrize("name", METHODS)
STUDIED = pytest.mark.parametrize("name", [name for name, row in METHODS.items() if not row.pretrained])


@EVERY
def test_it_is_listed_with_its_papers_and_options(name):
    (listed,) = [entry for entry in listing.ls()["methods"] if entry["name"] == name]
    row = METHODS[name]
    assert listed["title"] == row.title and listed["options"] == list(row.options)
    assert listed["papers"] == [paper.line for paper in row.papers]
    shown = api.show(f"{name}-usps-mnistm")
    assert row.summary.format(source="usps", target="mnistm") in shown["summary"]
    for key, option in row.options.items():
        value = row.values.get(key, option.default)
        assert shown["options"][key] == {"value": value, "origin": row.origins.get(key, option.origin or "ours")}


@EVERY
def test_it_is_learnt_by_the_class_of_its_file(name):
    method, row = class_of(presets.get(f"{name}-usps-mnistm")), METHODS[name]
    assert issubclass(method, ClassifierMethod)
    assert row.implementation == f"{method.__module__.rpartition('.')[2]}:{method.__name__}"


@STUDIED
def test_the_study_of_methods_has_it_on_every_task_within_its_budget(name):
    study = studies.get(presets.benchmark.STUDY)
    own = [preset for preset in study.presets() if preset.method == name]
    assert [(preset.source, preset.target) for preset in own] == list(presets.benchmark.TASKS)
    assert all(study.images(preset, "cpu") == METHODS[name].cpu_images < preset.images for preset in own)


@EVERY
def test_pages_and_results_compare_and_cite_it(name, tmp_path):
    """Beside source-only and one more; the bounds cite nothing."""
    row = METHODS[name]
    for each in {"source", "mcc", name}:
        folder = write_run(tmp_path / "kept" / "adaptation", "adaptation", "a→b", each, 0, 0.5)
        patch_json(folder / "config.json", lambda c: c["preset"]["fields"].update(width=64, size=28))
    runs = sorted((tmp_path / "kept" / "adaptation").iterdir())
    page = write_page(runs, tmp_path / "page.html").read_text(encoding="utf-8")
    text = write_results(tmp_path / "kept", tmp_path / "results.md").read_text(encoding="utf-8")
    assert f">{row.title}<" in page and f"| {row.title} |" in text
    for paper in row.papers:
        assert f"@{paper.kind}{{{paper.key}," in page and paper.title in page


# What the papers and their code say; a method's tests may take other values, its presets none.
CITED = {
    "dann": {"lam": 1.0, "lam_schedule": "dann"},
    "cdan": {"lam": 1.0, "lam_schedule": "dann"},
    "jan": {"lam": 1.0, "lam_schedule": "dann"},
    "mdd": {"lam": 0.1, "lam_schedule": "dann", "margin": 4.0},
    "mcd": {"generator_steps": 4},
    "mcc": {"mcc": 1.0, "temperature": 2.5},
    "dann-mcc": {"lam": 1.0, "lam_schedule": "dann", "mcc": 1.0, "temperature": 2.5},
    "mean-teacher": {"teacher_half_life": 4_400, "threshold": 0.968, "consistency": 3.0, "balance": 0.005},
    "fixmatch": {"threshold": 0.95, "consistency": 1.0},
    "adamatch": {"threshold": 0.9, "alignment": 1.0, "prior": "source", "information": 0.0},
    "adamatch-im": {"threshold": 0.9, "alignment": 1.0, "information": 1.0},
    "shot": {"smoothing": 0.1, "pseudo": 0.1},
}


@pytest.mark.parametrize("name", CITED)
def test_cited_values_are_those_of_the_papers(name):
    preset = presets.get(f"{name}-usps-mnistm")
    assert {key: getattr(preset, key) for key in CITED[name]} == CITED[name]


def test_every_option_of_a_paper_has_its_value_named_above():
    cited = {
        (name, key)
        for name, row in METHODS.items()
        for key, option in row.options.items()
        if (row.origins.get(key) or option.origin).startswith("cited")
    }
    assert cited <= {(name, key) for name, values in CITED.items() for key in values}


@pytest.mark.parametrize("name", [name for name in METHODS if name not in NAMED])
def test_nothing_else_names_it(name):
    """No table by hand, and no case apart."""
    files = [path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if f'"{name}"' in path.read_text()]
    assert files == ["presets/methods.py"]
