"""Methods, data sets and backbones from outside the package: a file of the user's, or an installed distribution."""

import json
import runpy
import shutil
import sys

import pytest
import tiny
import torch
from data_files import write_pictures
from tiny import refused, told

import genshift
from genshift import plugins, presets, studies
from genshift.data import load
from genshift.errors import Refusal
from genshift.presets import METHODS, PRESETS
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run
from genshift.studies import running

pytestmark = pytest.mark.usefixtures("quick", "forget_plugins")

METHOD = """
import genshift
from genshift.methods import DANN

@genshift.method("late-dann", like="dann", title="Late DANN",
                 summary="trained on {source} and {target} by an adversary that waits",
                 papers=(genshift.Paper("me2026late", "Me, Myself", "Late", "Nowhere", 2026),),
                 options={"wait": genshift.Option("share before the adversary begins", 0.5, at_least=0, at_most=1)})
class LateDANN(DANN):
    def lam(self, progress):
        return super().lam(progress) if progress.fraction >= self.preset.wait else 0.0
"""
BACKBONE = """
import genshift
from torch import nn

@genshift.backbone("flat")
class Flat(nn.Sequential):
    def __init__(self, channels, side):
        super().__init__(nn.Flatten(), nn.Linear(channels * side * side, 12))
        self.features = 12
"""
DATA_SET = """
import genshift
from genshift.data import DataSet

genshift.data_set(DataSet(name="things", title="Things", folders=("things",), published_counts={"train": 18},
                          licence="mine", terms="Mine."))
"""


@pytest.fixture
def late(tmp_path):
    """A plugin file with a method."""
    file = tmp_path / "late.py"
    file.write_text(METHOD)
    return file


def words(domains, out, method="late-dann", **more):
    """`genshift train` of a method on two tiny domains, six steps."""
    options = {"source": domains[0], "target": domains[1], "images": 24, "width": 8, "precision": "float32", **more}
    options = {"batch_source": 4, "batch_target": 4, "validation": 0.25, "out": out, **options}
    return ["train", method, *(word for name, value in options.items() for word in (presets.base.flag(name), value))]


def forget():
    """As a new process would begin: no method of a plugin, no plugin loaded."""
    for table in (METHODS, PRESETS):
        for name in [name for name in table if name.startswith("late-dann")]:
            del table[name]
    plugins._loaded.clear()


# --- a file ---------------------------------------------------------------------------------------------------------


def test_a_plugins_method_goes_through_every_verb(late, domains, tmp_path, capfd):
    runs = tmp_path / "runs"
    trained = told(capfd, "--plugin", late, *words(domains, runs / "late", wait=0.25))
    assert "oracle/target_test_accuracy" in trained
    assert trained.splitlines()[-1].endswith(f"--out labels.csv --plugin {late}"), "the next command would be refused"
    told(capfd, *words(domains, runs / "dann", method="dann"))
    config = json.loads((runs / "late" / "config.json").read_text())
    assert config["preset"]["role"] == "late-dann" and config["preset"]["summary"].endswith("adversary that waits")
    assert config["preset"]["fields"]["wait"] == 0.25 and config["preset"]["origins"]["wait"] == "yours"
    assert config["command"].endswith(f"--plugin {late}")
    assert "oracle/target_test_accuracy" in told(capfd, "evaluate", runs / "late", "--plugin", late)
    assert "selection.json says so" in told(capfd, "select", runs / "late", "--plugin", late)
    assert {"Late DANN", "DANN"} <= {row["label"] for row in genshift.compare([runs])}
    told(capfd, "report", runs, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Late DANN" in page and "@inproceedings{me2026late," in page


def test_its_option_acts(late, domains, tmp_path, capfd):
    for wait in (0.5, 0.0):
        told(capfd, "--plugin", late, *words(domains, tmp_path / f"{wait}", wait=wait))
    rows = {wait: tiny.rows(tmp_path / f"{wait}") for wait in (0.5, 0.0)}
    lams = {wait: [row["train/lam"] for row in rows[wait] if "train/lam" in row] for wait in rows}
    assert lams[0.5][:3] == [0, 0, 0] and all(lam > 0 for lam in [*lams[0.5][3:], *lams[0.0][1:]])
    assert "--wait is a share of at most 1" in refused(capfd, *words(domains, tmp_path / "x", wait=2))
    assert "did you mean '--wait'" in refused(capfd, *words(domains, tmp_path / "x", wiat=0.5))


def test_a_run_of_a_method_that_is_not_here_is_refused_with_its_name(late, domains, tmp_path, capfd):
    run = tmp_path / "run"
    told(capfd, "--plugin", late, *words(domains, run))
    forget()
    for asked in (["evaluate", run], ["predict", run, domains[1], "--out", "x"], ["select", run]):
        said = refused(capfd, *asked)
        assert "trained by the method 'late-dann', which is not part of genshift" in said and "--plugin FILE" in said
    with pytest.raises(Refusal, match="'late-dann'"):
        genshift.load(run)
    assert "There is no preset 'late-dann': did you mean" in refused(capfd, *words(domains, tmp_path / "other"))
    # What only reads the folder tells its name all the same.
    assert str(run) in told(capfd, "ls", run)
    assert [row["label"] for row in genshift.compare([run])] == ["late-dann"]
    told(capfd, "report", run, "--out", tmp_path / "page.html")
    assert "late-dann" in (tmp_path / "page.html").read_text()
    # Named again, it answers.
    assert "features 40 × 32" in told(capfd, "embed", run, domains[1], "--out", tmp_path / "x.npz", "--plugin", late)


def test_a_run_folder_imports_nothing(late, domains, tmp_path, monkeypatch, capfd):
    """Names of modules, classes and files in a configuration do nothing, whatever stands there."""
    run = tmp_path / "run"
    told(capfd, *words(domains, run, method="dann"))
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'was-run')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = json.loads((run / "config.json").read_text())
    for role in ("evil", "evil:DANN", "evil.DANN", str(evil), "../evil"):
        changed = {**config, "plugins": [str(evil)], "implementation": "evil:DANN"}
        changed["command"] += f" --plugin {evil}"
        changed["preset"] = {**config["preset"], "role": role, "implementation": "evil:DANN"}
        (run / "config.json").write_text(json.dumps(changed))
        assert f"the method '{role}'" in refused(capfd, "evaluate", run)
    changed["preset"] = {**config["preset"], "fields": {**config["preset"]["fields"], "backbone": "evil"}}
    (run / "config.json").write_text(json.dumps(changed))
    assert "--backbone takes residual" in refused(capfd, "evaluate", run)
    assert "evil" not in sys.modules and not (tmp_path / "was-run").exists()


def test_a_continued_run_ends_in_the_same_bits(late, domains, tmp_path):
    genshift.load_plugin(late)
    preset = tiny.tiny("late-dann-usps-mnistm", domains, width=8, wait=0.4)
    assert tiny.train(preset, tmp_path / "whole")
    assert tiny.train(preset, tmp_path / "parts", observers=[tiny.StopAt(12)]) is False
    assert tiny.train(preset, tmp_path / "parts")
    assert not tiny.different(tiny.last(tmp_path / "whole"), tiny.last(tmp_path / "parts"))
    assert tiny.weights(tmp_path / "whole") == tiny.weights(tmp_path / "parts")


def test_a_study_trains_it_with_its_rows_budget_in_processes_of_their_own(late, domains, tmp_path, monkeypatch):
    """Spawned processes know nothing of this one's plugins: they load the files, before they unpickle what they do."""
    genshift.load_plugin(late)
    study = studies.get("adaptation")
    assert study.images(presets.get("late-dann-usps-mnistm"), "cpu") == METHODS["dann"].cpu_images
    small = {"width": 8, "images": 8, "validation": 0.2, "select": "last"}
    preset = tiny.tiny("late-dann-usps-mnistm", domains, **small)
    monkeypatch.setattr(studies.Study, "presets", lambda self: [preset])
    outcome = running.run_study(study, "full", tmp_path / "study", seeds=1, jobs=2, threads=1)
    assert "Late DANN" in outcome.page.read_text()
    assert RunFolder(tmp_path / "study" / "late-dann-usps-mnistm-seed0").seen == 8


def test_a_file_that_cannot_be_loaded_is_refused(tmp_path, capfd):
    (tmp_path / "a.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "b.py").write_text("def (:\n")
    (tmp_path / "c.py").write_text("import genshift\ngenshift.method('x', like='dnan', title='', summary='')\n")
    assert "No module named 'nothing_of_that_name'" in refused(capfd, "--plugin", tmp_path / "a.py", "ls")
    assert "cannot be imported: invalid syntax" in refused(capfd, "ls", "--plugin", tmp_path / "b.py")
    assert "There is no method 'dnan': did you mean 'd" in refused(capfd, "ls", "--plugin", tmp_path / "c.py")
    assert "There is no plugin file nowhere.py" in refused(capfd, "--plugin", "nowhere.py", "ls")
    assert "--plugin needs a value: a Python file." in refused(capfd, "ls", "--plugin")
    assert plugins.loaded_files() == []


def test_names_that_are_taken_are_refused(late):
    genshift.load_plugin(late)
    genshift.load_plugin(str(late))  # once, whatever it is called
    with pytest.raises(Refusal, match="There is a method 'dann' already"):
        genshift.method("dann", like="dann", title="", summary="")(object)
    with pytest.raises(Refusal, match="There is a backbone 'residual' already"):
        genshift.backbone("residual")(lambda channels, side: None)
    late.write_text(METHOD + "\n")
    with pytest.raises(Refusal, match=r"late\.py was changed after it was loaded: start Python anew"):
        genshift.load_plugin(late)


def test_a_notebooks_cell_may_be_run_again(late):
    """The same class, defined anew, stands in the former one's place, with its new options."""
    for default in (0.25, 0.75):
        late.write_text(METHOD.replace("0.5", str(default)))
        runpy.run_path(str(late), run_name="__main__")
        assert presets.get("late-dann-mnistm-svhn").wait == default
    with pytest.raises(Refusal, match="There is a method 'late-dann' already"):
        runpy.run_path(str(late), run_name="elsewhere")


def test_help_names_a_plugins_options(late, capfd):
    with pytest.raises(SystemExit):
        genshift.cli.main.main(["train", "late-dann", "--help", "--plugin", str(late)])
    assert "--wait WAIT" in capfd.readouterr().out
    assert "Late DANN" in told(capfd, "ls") and "wait" in told(capfd, "show", "late-dann")


def test_a_backbone_and_a_data_set_of_a_file(domains, tmp_path, capfd):
    (tmp_path / "mine.py").write_text(BACKBONE + DATA_SET)
    for name in ("bike", "mug", "pen"):
        write_pictures(tmp_path / "data" / "things" / name, 6)
    source = {"source": "things", "target": tmp_path / "data" / "things" / "mug", "data_root": tmp_path / "data"}
    options = {"backbone": "flat", "size": 28, "validation": 0.2, "select": "last", **source}
    given = words(domains, tmp_path / "run", method="shot", **options)
    told(capfd, *given, "--plugin", tmp_path / "mine.py")
    run = open_run(tmp_path / "run")
    assert run.method.embed(tiny.digits(3, 0).images).shape == (3, 12)
    assert run.classes == ("bike", "mug", "pen") and run.config["data"]["source"]["name"] == "things"
    assert run.preset.task == "things→mug" and "things" in genshift.ls()["data"][-1]["name"]
    assert "keeps statistics for each domain" in refused(capfd, "show", "dann", "--backbone", "flat")


# --- an installed distribution --------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution with one module for each group, on the path as pip would leave it."""
    site = tmp_path / "site"
    for name, text in {"late_plugin": METHOD, "flat_plugin": BACKBONE, "things_plugin": DATA_SET}.items():
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(text)
    (site / "broken_plugin.py").write_text("import nothing_of_that_name\n")
    about = site / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[genshift.methods]\nlate-dann = late_plugin:LateDANN\n"
        "[genshift.backbones]\nflat = flat_plugin:Flat\nbroken = broken_plugin\n"
        "[genshift.data_sets]\nthings = things_plugin\n"
    )
    monkeypatch.syspath_prepend(site)
    modules = ("late_plugin", "flat_plugin", "things_plugin", "broken_plugin")
    yield site
    for name in modules:
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("installed")
def test_an_installed_method_is_found_by_its_name(domains, tmp_path, capfd):
    assert "late_plugin" not in sys.modules
    told(capfd, *words(domains, tmp_path / "run", wait=0.25))
    assert "late_plugin" in sys.modules and "flat_plugin" not in sys.modules
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["preset"]["role"] == "late-dann" and "--plugin" not in config["command"]


@pytest.mark.usefixtures("installed")
def test_flags_may_stand_before_its_name(capfd):
    assert "late-dann" in told(capfd, "show", "--wait", "0.75", "late-dann")


@pytest.mark.usefixtures("installed")
def test_an_installed_method_on_two_sets_by_one_name():
    assert presets.get("late-dann-svhn-uci").method == "late-dann"


@pytest.mark.usefixtures("installed")
def test_a_run_of_an_installed_method_opens(domains, tmp_path, capfd):
    told(capfd, *words(domains, tmp_path / "run"))
    forget()
    sys.modules.pop("late_plugin")
    assert type(genshift.load(tmp_path / "run").run.method).__name__ == "LateDANN"
    # And where it is not asked to answer, its title and paper are the plugin's too.
    forget()
    sys.modules.pop("late_plugin")
    told(capfd, "report", tmp_path / "run", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Late DANN" in page and "@inproceedings{me2026late," in page


@pytest.mark.usefixtures("installed")
def test_an_installed_backbone_and_data_set(domains, tmp_path, capfd):
    for name in ("bike", "mug", "pen"):
        write_pictures(tmp_path / "data" / "things" / name, 6)
    assert len(load("things", data_root=tmp_path / "data")) == 18
    options = {"source": "things", "target": domains[1], "data_root": tmp_path / "data", "backbone": "flat"}
    told(capfd, *words(domains, tmp_path / "run", method="shot", size=28, select="last", **options))
    assert open_run(tmp_path / "run").method.embed(tiny.digits(3, 0).images).shape == (3, 12)
    said = refused(capfd, "show", "shot", "--backbone", "broken")
    assert "The installed plugin 'broken' (broken_plugin) cannot be imported: No module named" in said


def test_ls_lists_what_is_installed(installed, capfd):
    listing = json.loads(told(capfd, "ls", "--json"))
    assert "late-dann" in {row["name"] for row in listing["methods"]}
    assert "things" in {row["name"] for row in listing["data"]}
    shutil.rmtree(installed / "mine-1.0.dist-info")


def test_pictures_of_a_run_with_a_plugins_backbone_are_those_of_the_backbone(domains, tmp_path):
    """The networks that a checkpoint holds are the plugin's, and no other's may be put there."""
    (tmp_path / "flat.py").write_text(BACKBONE)
    genshift.load_plugin(tmp_path / "flat.py")
    preset = tiny.tiny("shot-usps-mnistm", domains, backbone="flat")
    assert tiny.train(preset, tmp_path / "run", images=8)
    assert {"network/extractor/1.weight", "network/predictor/weight"} <= set(tiny.last(tmp_path / "run"))
    assert isinstance(open_run(tmp_path / "run").method.networks["extractor"][1], torch.nn.Linear)
