"""Sets that a user's file declares: the file of docs/adding.md to the letter, and declarations that are refused."""

import re
from pathlib import Path

import pytest
from data_files import write_pictures

import genshift
from genshift import presets
from genshift.cli import main
from genshift.data import DataFile, DataSet, ImageSet, check_set, dataset, get, load, load_named, locate, register
from genshift.data.catalog import CATALOG
from genshift.errors import Refusal
from genshift.runs.folder import RunFolder

DOCUMENT = Path(__file__).parents[1] / "docs" / "adding.md"
COMMON = {"title": "Things", "published_counts": {"train": 6}, "licence": "mine", "terms": "Mine."}


@pytest.fixture(autouse=True)
def own_register(tmp_path, monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    before = dict(dataset._sets)
    yield
    dataset._sets.clear()
    dataset._sets.update(before)


def write_domain(folder, count=6):
    for name in ("bike", "mug", "pen"):
        write_pictures(folder / name, count)
    return folder


@pytest.fixture
def office(tmp_path):
    """The document's file, loaded as a plugin, and tiny domains below a data root."""
    text = DOCUMENT.read_text("utf-8").partition("## A data set")[2]
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    assert len(code.splitlines()) <= 30
    (tmp_path / "office31.py").write_text(code, "utf-8")
    genshift.load_plugin(tmp_path / "office31.py")
    write_domain(tmp_path / "data" / "amazon" / "images")
    write_domain(tmp_path / "data" / "office31" / "webcam" / "images", 4)
    return tmp_path / "data"


def test_class_folders_are_a_set_by_name(office):
    images, names = load_named("office31_amazon", data_root=office, size=16)
    assert images.name == "office31_amazon" and images.classes == ("bike", "mug", "pen")
    assert images.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6 and names[-1] == "pen/005.png"
    assert images.notes == ("office31_amazon: 18 train images are here; the published set has 2,817.",)
    assert load("office31_webcam", data_root=office, labels=False, limit=5).labels is None
    assert locate("office31_webcam", office) == {"train": office / "office31" / "webcam" / "images"}
    assert check_set("office31_amazon", data_root=office)[1]["labels"] == {"bike": 6, "mug": 6, "pen": 6}
    with pytest.raises(Refusal, match=r"train images of 'office31_dslr' were not found.*makers' page"):
        load("office31_dslr", data_root=office)
    with pytest.raises(Refusal, match="No program can fetch 'office31_dslr': fetch it from its makers' page"):
        get("office31_dslr", data_root=office)
    with pytest.raises(Refusal, match="split 'test'"):
        load("office31_amazon", "test", data_root=office)
    with pytest.raises(Refusal, match="did you mean 'office31_amazon'"):
        load("office31_amazn", data_root=office)


@pytest.mark.usefixtures("quick")
def test_a_method_trains_on_sets_of_a_users_file(office, tmp_path):
    options = {"source": "office31_amazon", "target": "office31_webcam", "size": 32, "validation": 0.2}
    assert genshift.train(presets.get("adapt").replaced(**options, images=24), tmp_path / "run", data_root=office)
    run = RunFolder(tmp_path / "run")
    assert run.config["preset"]["fields"]["source"] == "office31_amazon"
    accuracy = run.read("results.json")["oracle/target_test_accuracy"]
    assert accuracy["n"] == 12 and "labels training never saw" in accuracy["protocol"]


def test_the_command_line_lists_a_users_set(office, capfd):
    assert main.main(["data", "ls", "--data-root", str(office)]) == 0
    printed = capfd.readouterr().out
    assert "office31_amazon: Office-31, the domain amazon; train 2,817; many sizes, colour\n    here: train;" in printed
    words = ["train", "cdan", "--source", "office31_amazon", "--target", "office31_webcam", "--size", "64"]
    words += ["--validation", "0.2"]
    assert main.main([*words, "--data-root", str(office), "--out", "run", "-n"]) == 0
    assert '"cdan-office31_amazon-office31_webcam"' in capfd.readouterr().out


def test_a_set_of_an_installed_distribution_is_found_by_its_name(tmp_path, monkeypatch):
    class Entry:
        name = "things"

        def load(self):
            register(DataSet(name="things", folders=("things",), **COMMON))

    asked = []

    def entry_points(group):
        asked.append(group)
        return [Entry()]

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    write_pictures(tmp_path / "things", 6)
    assert len(load("things", data_root=tmp_path)) == 6 and asked == ["genshift.data_sets"]
    with pytest.raises(Refusal, match="did you mean 'things'"):
        load("thinks")
    load(tmp_path / "things")
    assert asked[1:] == ["genshift.data_sets"], "a path is no name"


def test_a_set_of_folders_may_have_splits(tmp_path):
    register(DataSet(name="things", folders=("things",), **COMMON | {"published_counts": {"train": 18, "test": 6}}))
    write_domain(tmp_path / "things" / "train")
    write_domain(tmp_path / "things" / "test", 2)
    train, test = (load("things", split, data_root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (18, 6) and train.classes == test.classes
    note = "things: train/ (18 pictures) is the training part, test/ (6 pictures) is the part to measure on."
    assert train.notes == test.notes == (note,)


def test_a_set_may_bring_a_reader_and_files(tmp_path):
    def read(location, options):
        from genshift.data.folders import read_folder

        assert location.files == {"things.zip": location.path}
        return read_folder(location.path, options)[0]

    file = DataFile("things.zip", None, None, None, unpacked=("things",))
    register(DataSet(name="things", files=(file,), folders=("mine",), read=read, **COMMON))
    write_pictures(tmp_path / "mine" / "things", 6)
    images = load("things", data_root=tmp_path)
    assert isinstance(images, ImageSet) and images.name == "things" and len(images) == 6


def test_a_declaration_that_does_not_hold_is_refused():
    with pytest.raises(Refusal, match="There is a data set 'mnist' already"):
        register(DataSet(name="mnist", folders=("mine",), **COMMON))
    with pytest.raises(Refusal, match="'my/set' cannot name a data set"):
        register(DataSet(name="my/set", folders=("mine",), **COMMON))
    with pytest.raises(Refusal, match="no split 'train'"):
        register(DataSet(name="things", folders=("mine",), **COMMON | {"published_counts": {"test": 6}}))
    with pytest.raises(Refusal, match="of no place"):
        register(DataSet(name="things", **COMMON))
    assert CATALOG["mnist"].title.startswith("MNIST") and "things" not in CATALOG


def test_every_file_of_the_folder_is_registered():
    folder = Path(dataset.__file__).with_name("sets")
    text = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    declared = re.findall(r'^        name="(.+)",$', text, re.M)
    assert sorted(declared) == sorted(CATALOG) and len(declared) == 7
