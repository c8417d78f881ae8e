"""The command line over one set of pictures: flat folders, help, flags of each family."""

import json

import pytest
import tiny
from test_data_pictures import everything

from genshift.cli import main
from genshift.presets import FAMILIES, PRESETS, option_fields
from genshift.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("quick")

FEW = ("--size", 16, "--width", 8, "--batch", 4, "--images", 8, "--precision", "float32")


def helped(capfd, *argv):
    """The help text of `genshift ARGV`, in one line."""
    with pytest.raises(SystemExit) as left:
        main.main([*argv, "--help"])
    assert left.value.code == 0
    return " ".join(capfd.readouterr().out.split())


def flags(family):
    return {f"--{field.name.replace('_', '-')}" for field in option_fields(FAMILIES[family])}


# --- a folder of one's own --------------------------------------------------------------------------------------------


def test_a_flat_folder_of_odd_pictures_trains_a_gan(tmp_path, capfd):
    """Greyscale, CMYK, turned, transparent, of any shape; the first broken one is named, or all are left out."""
    folder = tmp_path / "mine"
    folder.mkdir()
    good, broken = everything(folder)
    argv = [str(word) for word in ("train", "faces-gan", "--data", folder, *FEW, "--out", tmp_path / "run")]
    assert f"{next(iter(broken))} is no picture that can be read" in tiny.refused(capfd, *argv)
    assert not (tmp_path / "run").exists()
    assert main.main([*argv, "--skip-broken"]) == 0
    assert f"note: {len(broken)} broken picture(s) in {folder} left out" in capfd.readouterr().err
    config = RunFolder(tmp_path / "run").config
    assert config["data"]["data"]["n"] == len(good) and config["classes"] == [] and config["skip_broken"] is True
    assert config["preset"]["origins"]["data"] == "yours" and config["preset"]["task"] == "mine"
    assert config["command"].startswith("genshift train faces-gan --data ")
    assert main.main([*argv, "--skip-broken"]) == 0
    assert "is finished (8 images): nothing to train" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("preset", "more", "says"),
    [
        ("faces-gan", ("--condition", "classes"), "has no classes to learn: give class folders, or a labels.csv"),
        ("faces-attributes", (), "has no attributes: take celeba with its list_attr_celeba.txt beside it."),
        ("faces-attributes", ("--answers", "classes"), "has no classes to learn"),
    ],
)
def test_a_flat_folder_lacks_what_is_to_be_learnt(preset, more, says, tmp_path, capfd):
    folder = tiny.write_flat(tmp_path / "mine", 0, count=6)
    argv = ["train", preset, "--data", folder, *FEW, *more, "--out", tmp_path / "run"]
    assert says in tiny.refused(capfd, *argv)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("count", "says"), [(0, "no "), (1, "1 picture to train on: two or more are needed")])
def test_too_few_pictures_are_refused(count, says, tmp_path, capfd):
    folder = tmp_path / "mine"
    folder.mkdir()
    tiny.write_flat(folder, 0, count=count)
    assert says in tiny.refused(capfd, "train", "faces-gan", "--data", folder, *FEW, "--out", tmp_path / "run")


def test_the_printed_networks_name_the_preset_that_takes_any_size(tmp_path, capfd):
    folder = tiny.write_flat(tmp_path / "mine", 0, count=6)
    argv = ["train", "hw2-gan-a", "--data", folder, "--size", 32, "--out", tmp_path / "run"]
    assert "take 64 pixels, not 32: give --size 64, or faces-gan." in tiny.refused(capfd, *argv)


# --- flags ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["faces-gan", "faces-vae", "faces-attributes", "demo-dann"])
def test_help_with_a_preset_shows_the_flags_of_its_family_alone(preset, capfd):
    text = helped(capfd, "train", preset)
    family = PRESETS[preset].family
    own, others = flags(family), set().union(*(flags(other) for other in FAMILIES)) - flags(family)
    assert all(f"{flag} " in text for flag in own)
    assert not [flag for flag in others if f" {flag} " in text]
    assert "--out RUN" in text and "--seed N" in text


def test_help_without_a_preset_shows_every_familys_flags(capfd):
    text = helped(capfd, "train")
    assert all(f"{flag} " in text for family in FAMILIES for flag in flags(family))


# What is typed, and what the sentence must hold.
TYPED = [
    ("train faces-gan --lam 1 --out x", "There is no flag '--lam': did you mean '--l"),
    ("train faces-gan --batch-source 8 --out x", "There is no flag '--batch-source': did you mean '--batch'?"),
    ("train faces-gan --source a --out x", "There is no flag '--source'"),
    ("train faces-gan --free-bits 1 --out x", "There is no flag '--free-bits'"),
    ("train faces-vae --diffaugment off --out x", "There is no flag '--diffaugment'"),
    ("train faces-vae --kl-warmpu 3 --out x", "There is no flag '--kl-warmpu': did you mean '--kl-warmup'?"),
    ("train faces-gna --out x", "There is no preset 'faces-gna': did you mean 'faces-gan'?"),
    ("train faces-gan --loss hing --out x", "--loss does not take 'hing': did you mean 'hinge'?"),
    ("train faces-gan --first critic --out x", "--first does not take 'critic': expected one of generator, "),
    ("train faces-gan --critic-steps 0 --out x", "--critic-steps must be above 0, not 0."),
    ("train faces-gan --penalty-every 0 --out x", "--penalty-every must be above 0, not 0."),
    ("train faces-gan --r1 -1 --out x", "--r1 must be 0 or more, not -1.0."),
    ("train faces-gan --gradient-penalty -1 --out x", "--gradient-penalty must be 0 or more, not -1.0."),
    ("train faces-gan --beta1 1 --out x", "--beta1 is a share of at most 0.9999, not 1.0."),
    ("train faces-gan --latent 0 --out x", "--latent must be above 0, not 0."),
    ("train faces-gan --width -8 --out x", "--width must be above 0, not -8."),
    ("train hw3-vae --width 32 --out x", "hw3-vae's networks are as printed: leave --width 32 out."),
    ("train hw2-diffusion --width 32 --out x", "hw2-diffusion's networks are as printed: leave --width 32 out."),
    ("train faces-gan --batch 2.5 --out x", "--batch takes a whole number, not '2.5'."),
    ("train faces-gan --flip 2 --out x", "--flip is a share of at most 1, not 2.0."),
    ("train faces-vae --components 0 --out x", "--components must be above 0, not 0."),
    ("train faces-attributes --answers both --out x", "--answers does not take 'both': expected one of classes, "),
]  # fmt: skip


@pytest.mark.parametrize(("line", "says"), TYPED, ids=[line[:60] for line, _ in TYPED])
def test_what_is_mistyped_is_refused(line, says, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in tiny.refused(capfd, *line.split())
    assert not list(tmp_path.iterdir()), "a refused command left something behind"


def test_a_flag_is_not_taken_for_a_longer_one(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = tiny.refused(capfd, *["train", "demo-dann", "--data", "x", "--out", "x"])
    assert "There is no flag '--data': did you mean '--data-root'?" in said


@pytest.mark.parametrize(
    ("size", "width", "says"), [(48, 8, "not 48: give --size 64"), (8, 8, "not 8: give --size 64")]
)
def test_sizes_that_the_networks_cannot_take(size, width, says, tmp_path, capfd):
    folder = tiny.write_flat(tmp_path / "mine", 0, count=6)
    argv = ["--data", folder, "--size", size, "--width", width, "--out", tmp_path / "run"]
    for preset in ("faces-gan", "faces-vae"):
        assert says in tiny.refused(capfd, "train", preset, *argv)


@pytest.mark.parametrize("preset", ["faces-gan", "faces-vae", "faces-attributes"])
def test_a_dry_run_prints_what_would_be_trained_and_leaves(preset, faces, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = ["train", preset, "-n", "--batch", "8", "--size", "16", "--data", str(faces[16]), "--out", "x"]
    said = json.loads(tiny.told(capfd, *argv))
    plan = said.pop("plan")
    assert said == {"preset": preset, **PRESETS[preset].options(), "batch": 8, "size": 16, "data": str(faces[16])}
    assert plan["images"] == PRESETS[preset].images and plan["disk_gib"] > 0
    assert not list(tmp_path.iterdir())
    assert "'celeba' were not found" in tiny.refused(capfd, "train", preset, "-n", "--out", "x")
