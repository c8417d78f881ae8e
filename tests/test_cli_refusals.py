"""Wrong input at the command line: one sentence that helps, exit status 2, no traceback."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
import tiny
import torch
from data_files import cut, mnistm_members, write_mnist, write_svhn, write_tar, write_usps

import genshift
from genshift.cli import main
from genshift.data import ImageSet, pack
from genshift.presets import METHODS, PRESETS
from genshift.runs.folder import RunFolder
from genshift.training.train import Settings, train

pytestmark = pytest.mark.usefixtures("quick")

# What is typed, and what the sentence must hold. None of these reaches torch.
TYPED = [
    ("trian", "There is no command 'trian': did you mean 'train'?"),
    ("train demo-dan --out x", "There is no preset 'demo-dan': did you mean 'demo-dann'?"),
    ("train hw2-dann-mnistm-uspss --out x", "did you mean 'hw2-dann-mnistm-usps'?"),
    ("show zzz", "There is no preset 'zzz': expected one of demo-source, "),
    ("train demo-dann --bacth-source 3 --out x", "There is no flag '--bacth-source': did you mean '--batch-source'?"),
    ("train demo-dann --lr fast --out x", "--lr takes a number, not 'fast'."),
    ("train demo-dann --images many --out x", "--images takes a whole number, not 'many'."),
    ("train demo-dann --seed 1.5 --out x", "--seed takes a whole number, not '1.5'."),
    ("train demo-dann --images -5 --out x", "--images must be above 0, not -5."),
    ("train demo-dann --images 0 --out x", "--images must be above 0, not 0."),
    ("train demo-dann --minutes -1 --out x", "--minutes must be above 0, not -1."),
    ("train demo-dann --minutes nan --out x", "--minutes takes a number below 10^18, not 'nan'."),
    ("train demo-dann --minutes inf --out x", "--minutes takes a number below 10^18, not 'inf'."),
    ("train demo-dann --minutes 1e12 --out x", "--minutes must be at most 10,000,000, not "),
    ("train demo-dann --lr nan --out x", "--lr takes a number below 10^18, not 'nan'."),
    ("train demo-dann --lam=-inf --out x", "--lam takes a number below 10^18, not '-inf'."),
    ("train demo-dann --threads 99999999999 --out x", "--threads must be at most 4,096, not 99,999,999,999."),
    (f"train demo-dann --seed {'9' * 5000} --out x", f"--seed takes a whole number, not '{'9' * 40}…'."),
    ("study demo --threads -1 --out x", "--threads must be above 0, not -1."),
    ("study demo --seeds 0 --out x", "--seeds must be above 0, not 0."),
    ("study demo --jobs -2 --out x", "--jobs must be above 0, not -2."),
    ("study demo --jobs inf --out x", "--jobs takes a whole number, not 'inf'."),
    ("demo --seeds 0 --out x", "--seeds must be above 0, not 0."),
    ("train demo-dann --lr -1 --out x", "--lr must be above 0, not -1.0."),
    ("train demo-dann --images 9 --minutes 1 --out x", "--images and --minutes both name the budget: give one"),
    ("train demo-dann --keep 0 --out x", "--keep must be above 0, not 0."),
    ("train demo-dann --threads 0 --out x", "--threads must be above 0, not 0."),
    ("train demo-dann --lam -1 --out x", "--lam must be 0 or more, not -1.0."),
    ("train demo-dann --validation 2 --out x", "--validation is a share from 0 to 0.9, not 2.0."),
    ("train demo-dann --select best --validation 0 --out x", "--select best needs held-out images"),
    ("train source-usps-mnistm --statistics own --out x", "takes no --statistics own: mixed or apart."),
    ("train shot-usps-mnistm --select best --out x", "--select best goes by source accuracy, which is highest before"),
    ("train demo-dann --batch-source 1 --out x", "takes 2 images of a domain a step at least"),
    ("train demo-dann --precision float16 --out x", "--precision does not take 'float16': did you mean 'bfloat16'?"),
    ("train demo-dann --device gpu --out x", "--device does not take 'gpu': "),
    ("train demo-dann --colour pink --out x", "--colour does not take 'pink': expected one of rgb, grey."),
    ("train demo-dann", "The following arguments are required: --out."),
    ("train demo-dann --out", "--out needs a value."),
    ("predict run pictures --out=", "--out: a path is expected, not nothing."),
    ("evaluate run --data-root=", "--data-root: a path is expected, not nothing."),
    ("data ls --data-root /nowhere", "--data-root /nowhere is no folder"),
    ("data check uci --data-root /nowhere", "--data-root /nowhere is no folder"),
    ("data pack uci --data-root /nowhere --out x", "--data-root /nowhere is no folder"),
    ("study demo --weights /nowhere --out x", "There is no file /nowhere: --weights names Inception's weights."),
    ("ls --plugin=", "A path is expected, not nothing"),
    ("--version more", "'more' is one argument too many"),
    ("train demo-dann more --out x", "'more' is one argument too many"),
    ("train demo-dann --data-root /nowhere --out x", "--data-root /nowhere is no folder"),
    ("study hw4 --out x", "There is no study 'hw4': did you mean 'hw"),
    ("study demo --budget huge --out x", "--budget does not take 'huge': "),
    ("swep x --features y", "There is no command 'swep': did you mean 'sweep'?"),
    ("sweep x", "The following arguments are required: --features."),
    ("sweep x --features y --guidance 1,,2", "--guidance takes a number, not ''."),
    ("sweep x --features y --intervals 0.8", "--intervals takes intervals such as 0.1-0.8, not '0.8'."),
    ("sweep x --features y --count 0", "--count must be above 0, not 0."),
    ("sample x --count 1 --steps 1.5 --out y", "--steps takes a whole number, not '1.5'."),
    ("sample x --count 1 --guidance-form 0.1 --out y", "did you mean '--guidance-from'?"),
    ("evaluate x --guide weka", "--guide does not take 'weka': did you mean 'weak'?"),
    ("train digits-diffusion --steps 0 --out x", "--steps must be 1 or more, not 0."),
    ("train digits-diffusion --guidance-from 0.8 --guidance-to 0.8 --out x", "0.8 is not below --guidance-to 0.8"),
    ("train hw2-diffusion --steps 1001 --out x", "--steps is at most 1000 in a process of as many steps, not 1001."),
    ("train digits-diffusion --size 0 --out x", "--size must be above 0, not 0."),
    ("data chekc uci", "There is no data command 'chekc': did you mean 'check'?"),
    ("data build svhn --photos x", "Only mnistm can be built, not 'svhn'"),
    ("show null", f"There is no preset 'null': expected one of {', '.join([*PRESETS, *METHODS][:20])}, … ("),
    (f"train demo-dann --colour {'x' * 5000} --out x", f"--colour does not take '{'x' * 99}…"),
    (f"predict {'y' * 3000} uci --out x", f"{'y' * 100}…"),
    ("show digits-classifier --encoding é", "There is no encoding 'é': "),
    ("evaluate run --data-root=--", "--data-root needs a value, not '--'"),
    ("ls --plugin=--", "--plugin needs a value: a Python file."),
    ("train demo-dann --seed=-- --out x", "--seed needs a value, not '--'"),
    ("train demo-dann --colour=-- --out x", "--colour needs a value, not '--'"),
    ("train faces-vae --features packed --out x", "--features is the classifier of --perceptual: give that a weight"),
    ("train digits-classifier --encoding base64 --out x", "There is no encoding 'base64': "),
]


@pytest.mark.parametrize(("line", "says"), TYPED, ids=[line[:60] for line, _ in TYPED])
def test_what_is_mistyped_is_refused(line, says, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in tiny.refused(capfd, *line.split())
    assert not list(tmp_path.iterdir()), "a refused command left something behind"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["predict", "run", "", "--out", "x"], "Images: a path is expected, not nothing."),
        (["data", "check", ""], "Name: a path is expected, not nothing."),
        (["data", "pack", "", "--out", "x"], "Name: a path is expected, not nothing."),
        (["train", "digits-classifier", "--data", "", "--out", "x"], "--data takes a name or a path, not nothing."),
        (["train", "demo-dann", "--target", "", "--out", "x"], "--target takes a name or a path, not nothing."),
        (["train", "dann", "--source", "", "--target", "uci", "--out", "x"], "--source takes a name or a path"),
        (["show", "adapt", "--source", ""], "--source takes a name or a path, not nothing."),
        (["predict", "a\n\x1b[31mb\u202e", "uci", "--out", "x"], "a\\n\\x1b[31mb\\u202e has no config.json"),
    ],
)
def test_nothing_and_names_that_move_the_terminal(words, says, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in tiny.refused(capfd, *words)
    assert not list(tmp_path.iterdir()), "a refused command left something behind"


@pytest.mark.parametrize("flag", [["--features", "run"], ["--weights", __file__], ["--download"]], ids=lambda f: f[0])
def test_what_measures_generators_alone(flag, run, capfd):
    said = ask(capfd, ("evaluate", *flag), run)
    assert f"{flag[0]} measures" in said and "leave it out" in said


@pytest.mark.parametrize(
    "line",
    ["trian", "train demo-dan --out x", "train demo-dann --images -5 --out x", "train demo-dann --lr fast --out x"],
)
def test_a_process_of_its_own_refuses_alike(line, tmp_path):
    said = tiny.refused_in_process(*line.split())
    assert dict(TYPED)[line] in said


def test_torch_is_not_needed_to_help_or_refuse():
    """Help and refusals come at once: no torch, numpy or scipy is imported for them."""
    code = (
        "import sys; from genshift.cli.main import main; status = main(sys.argv[1:]); "
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'PIL', 'rich'} & set(sys.modules); "
        "print(sorted(heavy), file=sys.stderr); sys.exit(status)"
    )
    for words, status in ((["--help"], 0), (["nonsense"], 2), (["train", "demo-dann", "--lr", "x", "--out", "x"], 2)):
        done = tiny.python("-c", code, *words)
        assert done.returncode == status, done.stderr
        assert done.stderr.splitlines()[-1] == "[]", words


@pytest.mark.parametrize("verb", ["ls", "data ls", "compare", "report"])
def test_verbs_that_only_read_need_no_torch(verb, trained, tmp_path):
    code = (
        "import sys; from genshift.cli.main import main; status = main(sys.argv[1:]); assert 'torch' not in sys.modules"
    )
    more = {"ls": [trained], "compare": [trained], "report": [trained, "--out", tmp_path / "page.html"]}
    done = tiny.python("-c", f"{code}; sys.exit(status)", *verb.split(), *more.get(verb, ()))
    assert done.returncode == 0, done.stderr


def test_of_torchruns_processes_the_first_refuses(capfd, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert main.main(["trian"]) == 2
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    assert "did you mean 'train'" in tiny.refused(capfd, "trian")


def test_an_error_of_the_system_without_a_file(capfd, monkeypatch):
    def fail(argv):
        raise OSError("the connection was reset")

    monkeypatch.setitem(main.COMMANDS, "ls", fail)
    assert tiny.refused(capfd, "ls") == "genshift: Stopped while reading or writing: the connection was reset."


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("into", "status", "says"),
    [("| true", 0, ""), ("> /dev/full", 2, "the disk is full"), (">&-", 2, "Standard output is closed")],
)
def test_output_that_nobody_takes(into, status, says, tmp_path):
    listing = f"{shlex.quote(sys.executable)} -m genshift ls {shlex.quote(str(tmp_path))}"
    script = f"set -o pipefail; {listing} {into}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status and says in done.stderr and done.stderr.count("\n") == bool(says), done.stderr


# --- data -----------------------------------------------------------------------------------------------------------


def on_embedded(capfd, tmp_path, source, *more):
    """What `train` says of a source beside the embedded target."""
    flags = ("--data-root", tmp_path, "--batch-source", 4, "--images", 4, "--out", tmp_path / "run")
    words = ("train", "demo-source", "--source", source, *flags, *more)
    said = tiny.refused(capfd, *words, last_line=True)  # a busy machine says before that it reads
    assert not (tmp_path / "run").exists(), "a refused command made a run folder"
    return said


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("uzi", "There is no data set 'uzi': did you mean 'uci'?"),
        ("mnist", "'mnist' were not found; looked in"),
        ("./nowhere", "There is no folder or file ./nowhere"),
    ],
)
def test_a_source_that_is_not_there(source, says, capfd, tmp_path):
    assert says in on_embedded(capfd, tmp_path, source)


def test_an_empty_folder(capfd, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty holds no picture" in on_embedded(capfd, tmp_path, tmp_path / "empty")


def test_pictures_without_labels_as_source(capfd, tmp_path):
    folder = tiny.write_flat(tmp_path / "flat", 0)
    assert "has no labels: give class folders, or a labels.csv" in on_embedded(capfd, tmp_path, folder)


@pytest.mark.parametrize("spoil", ["text", "truncated"])
def test_a_picture_that_is_none(spoil, capfd, tmp_path):
    folder = tiny.write_classes(tmp_path / "own", 0)
    picture = sorted(folder.rglob("*.png"))[3]
    picture.write_bytes(b"no picture\n" if spoil == "text" else picture.read_bytes()[:200])
    assert picture.name in on_embedded(capfd, tmp_path, folder)


def test_a_csv_that_names_a_missing_picture(capfd, tmp_path):
    folder = tiny.write_flat(tmp_path / "own", 0, count=4)
    (folder / "labels.csv").write_text("image_name,label\n000.png,1\n009.png,2\n")
    assert "names '009.png' in line 3, which is not in" in on_embedded(capfd, tmp_path, folder)


WRITTEN = {
    "mnist": (write_mnist, "train-images-idx3-ubyte.gz"),
    "usps": (write_usps, "usps.bz2"),
    "svhn": (write_svhn, "train_32x32.mat"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_truncated_file_of_a_catalog_set(name, capfd, tmp_path):
    write, file = WRITTEN[name]
    cut(write(tmp_path) / file)
    said = on_embedded(capfd, tmp_path, name)
    assert file in said and "cut short or damaged" in said


def test_a_truncated_idx_that_is_not_packed(capfd, tmp_path):
    cut(write_mnist(tmp_path, packed=False) / "train-images-idx3-ubyte")
    assert "train-images-idx3-ubyte" in on_embedded(capfd, tmp_path, "mnist")


def test_a_truncated_tar(capfd, tmp_path):
    cut(write_tar(tmp_path / "mnist_m" / "mnist_m.tar.gz", mnistm_members()))
    said = on_embedded(capfd, tmp_path, "mnistm")
    assert "mnist_m.tar.gz" in said and "cut short or damaged" in said


@pytest.mark.parametrize("name", ["pets.tar", "pets.tar.gz", "pets.zip"])
def test_an_archive_that_is_none(name, capfd, tmp_path):
    """Python's tarfile says in five lines that it is of no kind."""
    (tmp_path / name).write_bytes(b"no archive at all" * 100)
    assert name in tiny.refused(capfd, "data", "check", tmp_path / name)


def test_a_tar_with_a_member_outside_of_it(capfd, tmp_path):
    write_tar(tmp_path / "mnist_m" / "mnist_m.tar.gz", {**mnistm_members(), "mnist_m/../../evil.png": b"x"})
    said = on_embedded(capfd, tmp_path, "mnistm")
    assert "'mnist_m/../../evil.png'" in said and "outside of the archive" in said
    assert not (tmp_path.parent / "evil.png").exists()


def test_labels_out_of_range(capfd, tmp_path):
    write_svhn(tmp_path, count=4, labels=torch.tensor([1, 2, 11, 3]).numpy())
    said = on_embedded(capfd, tmp_path, "svhn")
    assert "11" in said and "train_32x32.mat" in said


def test_domains_of_different_kinds(capfd, tmp_path, domains):
    """A set that was saved in 0 to 1 beside one in 0 to 255."""
    images = torch.randint(0, 2, (20, 3, 28, 28), dtype=torch.uint8)
    pack(ImageSet("dim", images, torch.arange(20) % 10, tiny.DIGITS), tmp_path / "dim")
    assert "has pixels from 0 to 1: expected 0 to 255" in on_embedded(capfd, tmp_path, tmp_path / "dim")


def test_a_size_that_the_network_cannot_take(capfd, tmp_path):
    said = on_embedded(capfd, tmp_path, "uci", "--size", 64)
    assert "takes images of 28 to 31 pixels, not 64" in said


def test_networks_larger_than_any_memory(capfd, tmp_path):
    words = ("train", "faces-vae", "--data", "uci", "--size", 16, "--width", 10**18 - 1, "--out", tmp_path / "run")
    assert "memory ran out" in tiny.refused(capfd, *words, last_line=True)
    for preset in ("faces-gan", "faces-vae", "dann"):
        assert "memory ran out" in tiny.refused(capfd, "show", preset, "--width", 10**18 - 1)


# --- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(domains, tmp_path_factory):
    """Runs of hw2's and of hw3's networks, of four steps, to be copied and spoilt."""
    root = tmp_path_factory.mktemp("trained")
    for name in ("demo-source", "hw3-source-usps-mnistm"):
        train(tiny.tiny(name, domains, images=16), root / name, Settings())
    return root


@pytest.fixture
def run(trained, tmp_path):
    """A finished run of hw2's networks of one's own."""
    return shutil.copytree(trained / "demo-source", tmp_path / "run")


READERS = [("evaluate",), ("predict", "uci", "--split", "test", "--out", "x.csv"), ("embed", "uci", "--out", "x.npz")]


def ask(capfd, words, run):
    """The refusal of a command that reads a run."""
    return tiny.refused(capfd, words[0], run, *words[1:])


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_a_run_that_is_not_there(words, capfd, tmp_path):
    assert "has no config.json: it is not a run folder" in ask(capfd, words, tmp_path / "nowhere")


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_a_checkpoint_of_another_network(words, trained, run, capfd):
    newest = RunFolder(run).saved()[-1]
    shutil.copy(RunFolder(trained / "hw3-source-usps-mnistm").saved()[-1], newest)
    said = ask(capfd, words, run)
    assert "holds what this run would not have written: network/" in said and newest.name in said


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_a_truncated_checkpoint(words, run, capfd):
    newest = RunFolder(run).saved()[-1]
    newest.write_bytes(newest.read_bytes()[:5000])
    assert "is cut short, damaged or no safetensors file" in ask(capfd, words, run)


def test_a_run_without_a_checkpoint(run, capfd):
    shutil.rmtree(run / "checkpoints")
    assert "has no checkpoint yet" in ask(capfd, ("evaluate",), run)


@pytest.mark.parametrize("words", [*READERS, ("compare",), ("report", "--out", "x.html")], ids=lambda words: words[0])
@pytest.mark.parametrize("text", ['{"preset": ', "[]"])
def test_a_broken_config(words, text, run, capfd):
    (run / "config.json").write_text(text)
    said = ask(capfd, words, run)
    assert "config.json" in said and ("JSON" in said or "is not what genshift writes" in said)


def test_a_broken_run_two_levels_down_is_listed_by_ls_and_named_by_report(run, capfd, tmp_path):
    deep = shutil.copytree(run, tmp_path / "all" / "mine" / "broken")
    shutil.copytree(run, tmp_path / "all" / "whole")
    for text in (
        "{",
        '{"preset": "x", "seed": 0, "images": 1}',
        '{"preset": {"name": "x"}, "seed": 0, "images": null}',
    ):
        (deep / "config.json").write_text(text)
        listed = {row["path"]: row for row in genshift.ls(tmp_path / "all")["runs"]}
        assert len(listed) == 2 and "config.json" in listed[str(deep)]["broken"]
        assert main.main(["ls", str(tmp_path / "all")]) == 0
    (deep / "config.json").write_text('{"preset": "x", "seed": 0, "images": 1}')
    for words in (("compare", tmp_path / "all"), ("report", tmp_path / "all", "--out", tmp_path / "page.html")):
        capfd.readouterr()
        assert main.main(list(map(str, words))) == 0, "the whole one is told"
        assert str(deep / "config.json") in capfd.readouterr().err


@pytest.mark.parametrize(
    "spoil",
    [
        lambda preset: preset.clear(),
        lambda preset: preset["fields"].update(batch_source="four"),
        lambda preset: preset["fields"].update(colour_of_money="green"),
        lambda preset: preset["fields"].pop("source"),
        lambda preset: preset.update(fields=3),
    ],
)
def test_a_config_that_describes_no_preset(spoil, run, capfd):
    config = json.loads((run / "config.json").read_text())
    spoil(config["preset"])
    (run / "config.json").write_text(json.dumps(config))
    assert "config.json" in ask(capfd, ("evaluate",), run)


def again(capfd, domains, run, *more, preset="demo-source", last_line=False):
    """The refusal of `train` into a folder that holds a run."""
    flags = ("--source", domains[0], "--target", domains[1], "--batch-source", 4, "--batch-target", 4)
    flags += ("--precision", "float32", "--images", 16, "--out", run, *more)
    return tiny.refused(capfd, "train", preset, *flags, last_line=last_line)


def test_a_run_folder_of_another_preset(run, domains, capfd):
    said = again(capfd, domains, run, preset="demo-target")
    assert "is a run of demo-source, not demo-target: name another --out." in said


def test_a_run_folder_of_another_seed(run, domains, capfd):
    assert "was begun with --seed 0, not 5" in again(capfd, domains, run, "--seed", 5)


def test_a_broken_config_is_not_trained_over(run, domains, capfd):
    (run / "config.json").write_text("{")
    before = sorted(run.rglob("*"))
    assert "is not readable JSON" in again(capfd, domains, run)
    assert sorted(run.rglob("*")) == before


def test_continuing_from_a_checkpoint_of_another_network(trained, run, domains, capfd):
    shutil.copy(RunFolder(trained / "hw3-source-usps-mnistm").saved()[-1], RunFolder(run).saved()[-1])
    said = again(capfd, domains, run, last_line=True)
    assert "holds what this run would not have written: network/" in said


# --- outputs --------------------------------------------------------------------------------------------------------


def test_an_output_path_that_is_a_file(domains, tmp_path, capfd):
    (tmp_path / "file").write_text("mine")
    assert "is a file: name a folder" in again(capfd, domains, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_path_below_a_file(domains, tmp_path, capfd):
    (tmp_path / "file").write_text("mine")
    assert "a part of the path is a file" in again(capfd, domains, tmp_path / "file" / "run")


@tiny.POSIX
def test_an_output_folder_that_refuses_writes(domains, capfd):
    """/proc takes no file from anybody, root included."""
    assert "Stopped while making the run folder /proc/genshift" in again(capfd, domains, "/proc/genshift")


def test_an_output_folder_with_other_files(domains, tmp_path, capfd):
    (tmp_path / "thesis.tex").write_text("")
    assert "holds other files and no run" in again(capfd, domains, tmp_path)


@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_predictions_that_cannot_be_written(verb, run, domains, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    said = tiny.refused(capfd, verb, run, domains[1], "--out", tmp_path / "file" / "x")
    assert "a part of the path is a file" in said or "a file stands where a folder is needed" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("compare", "nowhere"), "There is no folder nowhere"),
        (("compare", "."), "is no run folder and holds none"),
        (("report", ".", "--out", "page.html"), "is no run folder and holds none"),
        (("report", ".", ".", "--out", "results.md"), "from one folder of <study>/<run>/"),
        (("report", ".", "--out", "results.md", "--title", "t"), "leave --title out"),
        (("data", "check", "nothing"), "There is no data set 'nothing'"),
        (("ls", "--data-root", "nowhere"), "--data-root nowhere is no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_other_commands_refuse(words, says, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in tiny.refused(capfd, *words)
