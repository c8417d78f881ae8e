"""A study of one's own, from a TOML file: planned, trained and shown as the built-in ones."""

import json
import shlex

import pytest
import tiny

from genshift.presets.base import YOURS
from genshift.studies import VARIED, get
from genshift.studies.jobs import jobs_of

FILE = """
name = "mine"
methods = ["source", "mcc"]
tasks = [["one", "two"], ["uci", "uci-m"]]
images = 64
options = { width = 8, size = 16, validation = 0.2 }
variants = [{ lr = 1e-3 }, { lr = 1e-4 }]
"""


@pytest.fixture
def file(tmp_path):
    for seed, name in enumerate(("one", "two")):
        tiny.write_classes(tmp_path / name, seed)
    (tmp_path / "mine.toml").write_text(FILE)
    return tmp_path / "mine.toml"


def test_every_method_task_variant_and_seed_is_a_run(file, tmp_path):
    study = get(str(file))
    assert (study.name, study.seeds, len(study.presets())) == ("mine", 1, 8)
    jobs = jobs_of(study, "cpu", tmp_path / "runs", seeds=2, data_root=None)
    names = [job.out.name for job in jobs]
    assert len(set(names)) == len(names) == 16
    assert {"mcc-one-two-lr-0.0001-seed1", "source-uci-uci-m-seed0"} <= set(names)
    for job in jobs:
        options = job.preset.options()
        assert (options["width"], options["size"], options["images"]) == (8, 16, 64)
        assert job.preset.origins["width"] == YOURS and job.preset.origins.get("lr", VARIED) == VARIED
    # The command of a run makes the same one, from wherever it is given.
    (job,) = (job for job in jobs if job.out.name == "mcc-one-two-lr-0.0001-seed1")
    words = shlex.split(job.command)
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert words[:3] == ["genshift", "train", "mcc"] and given["--source"] == str(tmp_path / "one")
    assert (given["--lr"], given["--width"], given["--images"], given["--seed"]) == ("0.0001", "8", "64", "1")


def test_it_is_trained_and_shown_on_a_page(file, tmp_path, capfd):
    file.write_text(FILE.replace('["one", "two"], ["uci", "uci-m"]', '["one", "two"]').replace(", { lr = 1e-4 }", ""))
    tiny.told(capfd, "study", file, "--threads", 1, "--out", tmp_path / "runs")
    runs = {path.parent.name for path in (tmp_path / "runs").glob("*/results.json")}
    assert runs == {"source-one-two-seed0", "mcc-one-two-seed0"}
    page = (tmp_path / "runs" / "page.html").read_text(encoding="utf-8")
    assert "MCC" in page and "Source only" in page and "one→two" in page
    rows = json.loads(tiny.told(capfd, "compare", tmp_path / "runs", "--json"))
    assert {row["label"] for row in rows} == {"Source only", "MCC"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"mcc"]', '"mccc"]'), "no method 'mccc': did you mean 'mcc'"),
        (("width = 8", "widht = 8"), "no option 'widht': did you mean 'width'"),
        (("images = 64", "pictures = 64"), "unknown field `pictures`"),
        (("images = 64", "images = 0"), "- at `$.images`"),
        (('name = "mine"', 'name = "../mine"'), "at `$.name`"),
        (('["one", "two"], ', '["one"], '), "at `$.tasks[0]`"),
        (("images = 64", "images = "), "is no TOML"),
    ],
)
def test_a_wrong_file_is_a_sentence(change, says, file, tmp_path, capfd):
    file.write_text(FILE.replace(*change))
    assert says in tiny.refused(capfd, "study", file, "-n", "--out", tmp_path / "runs")


def test_a_file_that_is_not_there_is_refused_and_a_folder_that_is_not_leaves_out_its_runs(file, tmp_path, capfd):
    assert "absent.toml" in tiny.refused(capfd, "study", tmp_path / "absent.toml", "-n")
    file.write_text(FILE.replace('"two"', '"three"'))
    said = tiny.told(capfd, "study", file, "-n", "--out", tmp_path / "runs")
    assert "Left out: source-one-three-seed0" in said and "mcc-uci-uci-m-seed0" in said
