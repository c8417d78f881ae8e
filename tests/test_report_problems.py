"""The page in the reports' own order: a section a question, published beside ours and the best of ours."""

import re

import pytest
from report_fixtures import patch_json, write_run
from report_pictures import write_diffusion, write_gan, write_vae

from genshift.report.contents import page_contents
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.page import write_page
from genshift.report.problems import PROBLEMS


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run of every problem of both reports, of ours beside them, and of a study of a user's own."""
    root = tmp_path_factory.mktemp("problems")
    written = [write_gan(root, name) for name in ("hw2-gan-a", "hw2-gan-b", "faces-gan", "hw3-gan")]
    written += [write_vae(root), write_diffusion(root, "hw2-diffusion", 0, {"frechet": 12.0})]
    for report, task, roles in (
        ("hw2", "mnistm→svhn", ("source", "dann", "target")),
        ("hw2", "mnistm→usps", ("source", "dann", "target")),
        ("hw3", "usps→mnistm", ("source", "dann", "adda", "target")),
    ):
        written += [write_run(root, report, task, role, 0, 0.4) for role in roles]
    written += [
        write_run(root, "default", "mnistm→svhn", role, 0, share) for role, share in (("source", 0.6), ("mcc", 0.8))
    ]
    return written


@pytest.fixture(scope="module")
def contents(folders):
    return page_contents(page_model(read_runs(folders)))


def test_the_questions_stand_in_the_reports_order(contents):
    _, sections = contents
    titles = [section.title for section in sections]
    asked = [f"{problem.report} {question.title}" for problem in PROBLEMS for question in problem.questions]
    assert [title for title in titles if title in asked] == [title for title in asked if title in titles]
    numbers = [re.match(r"hw\d P\d", title).group() for title in titles if title in asked]
    assert list(dict.fromkeys(numbers)) == [*(f"hw2 P{n}" for n in (1, 2, 3)), *(f"hw3 P{n}" for n in (1, 2, 3, 4))]
    assert (
        len([title for title in titles if title in asked]) >= len(asked) - 3
    )  # no curve or picture was written of some
    # What is beyond the reports comes last, and is no answer of theirs.
    assert titles.index("default: mnistm→svhn") > max(map(titles.index, asked[:3]))


def test_published_ours_and_the_best_of_ours_stand_side_by_side(contents):
    _, sections = contents
    table = next(s for s in sections if s.title.startswith("hw2 P3.1")).blocks[0]
    assert table.head[:5] == ["", "published", "ours", "difference", "genshift's best"]
    (task, (source, dann, target)), (other, rows) = table.bodies
    assert (task, other) == ("mnistm→svhn", "mnistm→usps")
    assert (source[4].text, source[4].note) == ("60.00 ± 1.55 (se)", "Source only")
    assert (dann[4].text, dann[4].note) == ("80.00 ± 1.26 (se)", "MCC")
    assert target[4].text == "–" and {row[4].text for row in rows} == {"–"}


def test_what_is_said_of_one_task_of_several_names_it(tmp_path):
    written = [
        write_run(tmp_path, "hw2", task, role, seed, 0.4)
        for task in ("mnistm→svhn", "mnistm→usps") for role in ("source", "dann") for seed in (0, 1)
    ]  # fmt: skip
    for run in written:
        (run / "evaluation.json").unlink(missing_ok=True)  # measures alone were kept
    _, sections = page_contents(page_model(read_runs(written)))
    blocks = next(section for section in sections if section.title.startswith("hw2 P3.1")).blocks
    tables = [block for block in blocks if block.kind == "table" and "seed 0" in block.head]
    assert [table.bodies[0][0] for table in tables] == ["mnistm→svhn", "mnistm→usps"]
    said = [block.text for block in blocks if block.kind == "prose"]
    assert said and all(text.startswith("mnistm→") for text in said)


def test_each_problem_has_its_own_runs(contents):
    results, sections = contents
    words = {section.title[:8]: str(section.blocks) for section in sections}
    assert "hw2-gan-b" in words["hw2 P1.2"] and "hw3-gan" not in words["hw2 P1.2"] and "faces-gan" in words["hw2 P1.2"]
    assert "hw3-gan" in words["hw3 P2.2"] and "hw2-gan-a" not in words["hw3 P2.2"]
    assert "ADDA" not in words["hw3 P3.1"] and "ADDA" in words["hw3 P4.1"]
    (found,) = results
    assert [line.partition(":")[0] for line, _ in found.items] == [
        "hw2 P1, celeba", "hw2 P2, mnistm", "hw2 P3, mnistm→svhn", "hw2 P3, mnistm→usps", "hw3 P1, celeba",
        "hw3 P2, celeba", "hw3 P3, usps→mnistm", "hw3 P4, usps→mnistm",
    ]  # fmt: skip
    lines = [line for line, _ in found.items]
    alone = next(line for line in lines if line.startswith("hw2 P2"))  # no other was measured alike: what it measures
    assert re.search(r"hw2-diffusion: .*Fréchet 12\.00 ± \S+ \(floor \S+\)\.$", alone), alone


@pytest.mark.parametrize("name", ["hw2-gan-a", "hw3-source-usps-mnistm", "hw3-dann-usps-mnistm"])
def test_a_warning_is_told_once(name, folders, tmp_path):
    """Source-only and DANN stand in two problems of hw3."""
    (run,) = (folder for folder in folders if folder.name.startswith(name))
    patch_json(run / "evaluation.json", lambda e: e.setdefault("warnings", []).append(f"A singular warning of {name}."))
    text = write_page(folders, tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count(f"A singular warning of {name}.") == 1


def test_a_published_measure_that_was_not_taken_is_said_to_be_not_measured(tmp_path):
    """FID without Inception's weights."""
    run = write_gan(tmp_path, "hw2-gan-a", values={"frechet": 24.0})
    patch_json(run / "results.json", lambda results: results.pop("fid", None))
    (subject,) = page_model(read_runs([run])).subjects
    assert (subject.comparison.value(0, "fid"), subject.comparison.published(0, "fid")) == ("not measured", "28")
    assert subject.comparison.value(0, "frechet") == "24.00 ± 0.48"
