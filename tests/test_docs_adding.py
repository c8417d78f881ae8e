"""Every promise of docs/adding.md, tried with its own code to the letter (that of data sets: test_data_sets)."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from genshift import presets
from genshift.cli import main
from genshift.evaluation import adaptation
from genshift.presets import METHODS
from genshift.training import train as training

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")


def section(title):
    """What stands below a heading, up to the next one of its kind."""
    level = title.split()[0]
    text = DOCUMENT.partition(f"\n{title}\n")[2]
    assert text, title
    return re.split(rf"^{level} ", text, maxsplit=1, flags=re.M)[0]


def blocks(text, language):
    """The code blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def commands(text):
    """The words of each `genshift` line of the sh blocks."""
    return [shlex.split(line)[1:] for block in blocks(text, "sh") for line in block.splitlines()]


def run_all(capfd, text):
    """What the commands of a section print, by their verb; each must succeed."""
    printed = {}
    for words in commands(text):
        capfd.readouterr()
        assert main.main(words) == 0, (words, capfd.readouterr().err)
        verb = next(word for word in words if word in main.COMMANDS)
        printed[verb] = capfd.readouterr().out
    return printed


@pytest.fixture
def quickly(tmp_path, monkeypatch, quick, forget_plugins):
    """In a folder of one's own, with fewer checks and smaller maps than a user would have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adaptation, "TSNE_IMAGES", 40)
    monkeypatch.setattr(training, "LOGS", 10)
    return tmp_path


# --- from outside -----------------------------------------------------------------------------------------------------


def test_a_users_own_method_beside_dann(quickly, capfd):
    text = section("### In a file of your own")
    code = blocks(text, "python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    (quickly / "late_dann.py").write_text(code)
    printed = run_all(capfd, text)
    assert "oracle/target_test_accuracy" in printed["evaluate"] and "Late DANN" in printed["compare"]
    page = (quickly / "page.html").read_text(encoding="utf-8")
    assert "Late DANN" in page and "DANN" in page
    configs = {name: json.loads((quickly / "runs" / name / "config.json").read_text()) for name in ("dann", "late")}
    assert configs["late"]["preset"]["role"] == "late-dann" and configs["late"]["preset"]["fields"]["wait"] == 0.5
    # The same conditions but for what the method has of its own.
    own, dann = (configs[name]["preset"]["fields"] for name in ("late", "dann"))
    assert {**dann, "wait": 0.5} == own
    assert tiny.different(tiny.last(quickly / "runs" / "late"), tiny.last(quickly / "runs" / "dann"))
    assert presets.get("late-dann-mnistm-svhn").wait == 0.3, "a study's task by one name"
    assert '[project.entry-points."genshift.methods"]' in blocks(text, "toml")[0]


def test_a_users_own_backbone(quickly, capfd):
    text = section("## A backbone")
    (quickly / "small_cnn.py").write_text(blocks(text, "python")[0])
    printed = run_all(capfd, text)
    assert "oracle/target_test_accuracy" in printed["evaluate"]
    config = json.loads((quickly / "runs" / "small" / "config.json").read_text())
    assert config["preset"]["fields"]["backbone"] == "small-cnn" and "SmallCNN" in config["networks"]


# --- in the package ---------------------------------------------------------------------------------------------------


def changed(text, diff):
    """A file's text after a diff block; what it leaves or takes away must stand there once."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines()
        before = "\n".join(line[1:] for line in lines if not line.startswith("+")) + "\n"
        after = "\n".join(line[1:] for line in lines if not line.startswith("-")) + "\n"
        assert f"\n{text}".count(f"\n{before}") == 1, before
        text = f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]
    return text


def new_files(text):
    """Files that a section's Python blocks are, by the path that the words before them end with."""
    return dict(re.findall(r"`(src/[\w/]+\.py)`:\n\n```python\n(.*?)```", text, re.S))


@pytest.fixture
def package(tmp_path):
    """A copy of the package to change."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path


def in_package(package, *lines):
    """Runs `genshift` commands by the changed copy, one after the other in one process; returns what they print."""
    script = "import shlex, sys\nfrom genshift.cli.main import main\n"
    script += "for line in sys.argv[1:]: print('$', line, flush=True); assert main(shlex.split(line)) == 0, line\n"
    environment = {**tiny.environment(), "PYTHONPATH": str(package / "src")}
    environment["GENSHIFT_CACHE"] = str(package / "cache")
    done = subprocess.run(
        [sys.executable, "-c", script, *lines],
        capture_output=True,
        text=True,
        cwd=package,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_measure_a_sampler_a_section_and_a_preset(package):
    """Each is the file and the lines that its section says, and all of them together do what the document ends with."""
    sections = [section(f"## A {what}") for what in ("measure", "sampler", "page section", "preset")]
    for text in sections:
        for name, code in new_files(text).items():
            assert not (package / name).exists()
            (package / name).write_text(code, encoding="utf-8")
        for diff in blocks(text, "diff"):
            name = re.match(r"\+\+\+ (\S+)\n", diff).group(1)
            (package / name).write_text(changed((package / name).read_text("utf-8"), diff), encoding="utf-8")
    lines = [shlex.join(words) for words in commands(sections[-1])]
    more = [f"sample runs/uci --count 10 --sampler {name} --out {name}" for name in ("ddim", "unipc")]
    printed = in_package(package, *lines, *more, "ls", "compare runs")
    measured = re.search(r"contrast +(0\.\d+) ± \S+, floor (0\.\d+)  \(n = \d+; standard deviation of pixels", printed)
    assert measured and 0.1 < float(measured.group(2)) < 0.5
    assert "uci-diffusion " in printed, "it is listed"
    assert re.search(r"uci-diffusion.*contrast|contrast.*uci", printed), "it stands in the table of measures"
    config = json.loads((package / "runs" / "uci" / "config.json").read_text())
    assert config["preset"]["fields"]["sampler"] == "euler"
    # The flow of first order is DDIM without fresh noise, and another than UniPC.
    drawn = {name: read(package / name) for name in ("samples", "ddim", "unipc")}
    assert len(drawn["samples"]) == 10 and drawn["samples"] != drawn["unipc"]
    assert all(near(drawn["samples"][name], drawn["ddim"][name]) for name in drawn["samples"])
    page = (package / "uci.html").read_text(encoding="utf-8")
    assert "minutes of a processor" in page and "contrast" in page
    assert "the standard deviation of pixels, best where it is that of real pictures" in page


def read(folder):
    """The numbered pictures of a folder, by name."""
    return {file.name: file for file in folder.glob("0*.png")}


def near(one, other):
    """Whether two pictures differ by a rounding at most."""
    import numpy as np
    from PIL import Image

    first, second = (np.asarray(Image.open(file)).astype(int) for file in (one, other))
    return abs(first - second).max() <= 1


def test_a_method_in_the_package_is_one_file_and_one_row(package):
    """FixMatch as the document shows it: without the file and the row nothing knows it, with them everything does."""
    diff = blocks(section("### In the package"), "diff")[0]
    row = "".join(line[1:] + "\n" for line in diff.splitlines() if line.startswith("+    "))
    table, file = (package / "src" / "genshift" / name for name in ("presets/methods.py", "methods/fixmatch.py"))
    whole, code = table.read_text(encoding="utf-8"), file.read_text(encoding="utf-8")
    assert whole.count(row) == 1, "the row of the document is the table's"
    assert [path for path in (package / "src").rglob("*.py") if '"fixmatch' in path.read_text("utf-8")] == [table]
    # Without it.
    table.write_text(whole.replace(row, ""), encoding="utf-8")
    file.unlink()
    train = "train {} --source uci --target uci-m --width 8 --images 256 --select last --out runs/{}"
    printed = in_package(package, "ls", "show dann-mnistm-svhn")
    assert "fixmatch" not in printed.lower()
    # With it.
    table.write_text(changed(table.read_text(encoding="utf-8"), diff), encoding="utf-8")
    file.write_text(code, encoding="utf-8")
    assert table.read_text(encoding="utf-8") == whole
    lines = ["ls", train.format("fixmatch", "fixmatch"), "evaluate runs/fixmatch", "compare runs"]
    printed = in_package(package, *lines, "report runs --out page.html", "show fixmatch-mnistm-svhn")
    assert printed.count("FixMatch") >= 3 and "oracle/target_test_accuracy" in printed
    page = (package / "page.html").read_text(encoding="utf-8")
    assert "FixMatch" in page and "@inproceedings{sohn2020fixmatch," in page
    assert {"threshold", "consistency"} <= METHODS["fixmatch"].options.keys()


# --- the document -----------------------------------------------------------------------------------------------------


def test_every_path_of_the_table_is_there():
    """Rooms are named from src/genshift."""
    table = DOCUMENT.partition("| to add |")[2].partition("\n\n")[0]
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", table)
    assert len(paths) >= 8
    for path in paths:
        assert (ROOT / "src" / "genshift" / path).exists(), path
    headings = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in re.findall(r"^## (.+)$", DOCUMENT, re.M)}
    assert set(re.findall(r"\(#([\w-]+)\)", table)) <= headings


def test_a_reader_finds_where_to_add_within_two_hops():
    """README links the page that names the file of each."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/adding.md)" in readme and "(docs/architecture.md)" in readme
    assert os.path.isfile(ROOT / "docs" / "architecture.md")
