"""What is typed: presets and methods by name wherever the name stands, help, completion, and runs of other versions."""

import json
import shutil
import subprocess

import pytest
import tiny
from tiny import refused, told

import genshift
from genshift import presets
from genshift.cli import main

pytestmark = pytest.mark.usefixtures("quick")
SMALL = ["--images", 8, "--batch-source", 4, "--batch-target", 4, "--width", 8, "--precision", "float32"]


def config(run):
    """config.json without the command, and without what differs from sitting to sitting."""
    return {k: v for k, v in json.loads((run / "config.json").read_text()).items() if k != "command"}


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_flags_value_may_be_a_presets_name(tmp_path, domains, capfd, monkeypatch):
    """`train --out faces-gan demo-source`: the preset is demo-source, wherever its name stands."""
    monkeypatch.chdir(tmp_path)
    sets = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--batch-target", 4]
    for words in (["--out", "faces-gan", "demo-source", *sets], ["--out", "adamatch", *sets, "demo-source"]):
        planned = json.loads(told(capfd, "train", *words, "-n"))
        assert (planned["preset"], planned["batch_source"]) == ("demo-source", 4)
    assert "There is no flag '--latnt'" in refused(capfd, "train", "--out", "faces-gan", "hw3-vae", "--latnt", 3)
    for words in (["--target", "dann", "cdan"], ["cdan", "--target", "dann"]):
        said = refused(capfd, "train", "--out", "adamatch", "--source", domains[0], *words, "-n", last_line=True)
        assert "There is no data set 'dann'" in said
    assert "did you mean 'adamatch'" in refused(capfd, "train", "--source", "a", "--target", "b", "adamacth", "--out=x")


def test_a_method_on_two_sets_is_its_alias(tmp_path, capfd):
    """Same configuration but for the command, and same bits."""
    sets = ["--source", "uci", "--target", "uci-m"]
    told(capfd, "train", "fixmatch", *sets, *SMALL, "--out", tmp_path / "sets", "--no-evaluate")
    told(capfd, "train", "fixmatch-uci-uci-m", *SMALL, "--out", tmp_path / "alias", "--no-evaluate")
    one, other = config(tmp_path / "sets"), config(tmp_path / "alias")
    assert one == other and one["preset"]["name"] == "fixmatch-uci-uci-m"
    assert one["preset"]["origins"]["source"] == "ours"
    assert not tiny.different(tiny.last(tmp_path / "sets"), tiny.last(tmp_path / "alias"))


def test_every_alias_is_what_the_two_sets_make():
    for method in presets.METHODS:
        for source, target in presets.benchmark.TASKS:
            assert presets.named(method, source, target) == presets.get(f"{method}-{source}-{target}")
    assert presets.get("dann-uci-uci-m").task == "uci→uci-m", "a set's name may hold a dash"


def test_a_method_on_two_folders(tmp_path, capfd):
    source, target = tiny.write_classes(tmp_path / "scans", 0), tiny.write_flat(tmp_path / "photos", 1)
    sets = ["--source", source, "--target", target]
    told(capfd, "train", "cdan", *sets, *SMALL, "--validation", 0.2, "--out", tmp_path / "run")
    stored = config(tmp_path / "run")
    assert (stored["preset"]["name"], stored["preset"]["task"]) == ("cdan", "scans→photos")
    assert stored["preset"]["fields"]["size"] == 32 and stored["classes"] == list(tiny.DIGITS)
    by_python = genshift.train(
        "cdan", tmp_path / "again", source=source, target=str(target), images=8, batch_source=4, batch_target=4,
        width=8, precision="float32", validation=0.2, evaluate=False,
    )  # fmt: skip
    assert by_python.config["preset"] == stored["preset"]
    assert not tiny.different(tiny.last(tmp_path / "run"), tiny.last(tmp_path / "again"))


def test_a_method_needs_both_sets(capfd):
    for given in ([], ["--source", "uci"], ["--target", "uci-m"]):
        said = refused(capfd, "train", "dann", *given, "--out", "x")
        assert "dann is a method: give it two sets, --source LABELLED --target UNLABELLED." in said


# --- help and completion ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["--help", "train --help", "train adapt --help", "evaluate --help"])
def test_help_imports_no_torch(words):
    code = (
        "import sys; from genshift.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'rich', 'importlib.metadata'} & set(sys.modules)), file=sys.stderr)"
    )
    done = tiny.python("-c", code, *words.split())
    assert done.stderr == "[]\n" and "genshift" in done.stdout


def test_help_of_a_preset_lists_its_own_options_alone(capfd):
    def help_of(*words):
        with pytest.raises(SystemExit):
            main.main([*words, "--help"])
        return capfd.readouterr().out

    assert "--threshold" in help_of("train", "adamatch") and "--latent" not in help_of("train", "adamatch")
    assert "--latent" in help_of("train", "faces-gan") and "--threshold" not in help_of("train", "faces-gan")
    named = help_of("train", "--out", "faces-gan", "adamatch")
    assert "--threshold" in named and "--latent" not in named, "a folder of a preset's name is no preset"
    every = help_of("train")
    assert "--threshold" in every and "--latent" in every


def test_python_dash_m():
    done = tiny.command("--help")
    assert done.returncode == 0 and done.stdout.startswith(f"genshift {genshift.__version__}: ")
    assert tiny.command("trian").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_completion_script_is_what_its_shell_reads(shell, tmp_path, capfd):
    script = told(capfd, "completion", shell)
    flags = ("--no-evaluate", "--threshold", "--latent") if shell != "tcsh" else ()  # of tcsh, shtab knows commands
    for word in ("train", "evaluate", "clean", *flags):
        assert word in script, word
    if shutil.which(shell):
        file = tmp_path / f"genshift.{shell}"
        file.write_text(script)
        assert subprocess.run([shell, "-n", file], check=False, capture_output=True).returncode == 0


@tiny.POSIX
def test_bash_completes(tmp_path, capfd):
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    (tmp_path / "genshift.bash").write_text(told(capfd, "completion", "bash"))

    def completed(*words):
        line = f"source {tmp_path}/genshift.bash; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        line += "_shtab_genshift 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.split()

    assert set(main.COMMANDS) - {"data"} <= set(completed("genshift", "''"))
    assert {"adamatch", "hw3-vae", "adapt"} <= set(completed("genshift", "train", "''"))
    assert completed("genshift", "train", "--no-ev") == ["--no-evaluate"]
    (tmp_path / "my-run").mkdir()
    assert completed("genshift", "evaluate", "my") == ["my-run"]


def test_an_unknown_shell_is_refused(capfd):
    assert "did you mean 'zsh'" in refused(capfd, "completion", "zhs")


# --- runs of other versions -------------------------------------------------------------------------------------------


def test_a_run_of_a_newer_version_is_refused_in_one_sentence(domains, tmp_path, capfd):
    run = tmp_path / "run"
    words = ["train", "demo-dann", "--source", domains[0], "--target", domains[1], *SMALL[:6], "--out", run]
    told(capfd, *words, "--no-evaluate")
    stored = json.loads((run / "config.json").read_text())
    assert stored["genshift"] == genshift.__version__
    for version in ("0.10.0", "1.0", "0.3.1"):
        (run / "config.json").write_text(json.dumps({**stored, "genshift": version}))
        for asked in (["evaluate", run], ["predict", run, domains[1], "--out", "x.csv"], words):
            said = refused(capfd, *asked)
            assert f"was made by genshift {version}, which is newer than this {genshift.__version__}" in said
    for version in ("0.1.0", "0.2.0", "0.3.0", None):  # and before 0.1.0 none was written
        older = {key: value for key, value in stored.items() if key != "genshift"}
        (run / "config.json").write_text(json.dumps(older if version is None else {**older, "genshift": version}))
        assert "oracle/target_test_accuracy" in told(capfd, "evaluate", run)
