"""What `genshift bundle` writes and `push` sends: it answers as the run does, and tells nothing of the data."""

import json
import re
import shutil
import subprocess
import sys
import time
import warnings

import faces_tiny
import numpy as np
import pytest
import tiny
import torch
from tiny import refused, told

import genshift
from genshift.exporting import bundle as bundling
from genshift.exporting import hub as hubs
from genshift.runs import checkpoint
from genshift.runs.folder import RunFolder
from genshift.sampling import autoguidance

pytestmark = pytest.mark.usefixtures("quick")
SMALL = {**tiny.SAMPLED_PLAINLY, "size": 16, "width": 16, "patch": 4, "steps": 4, "guidance": 2.0, "lr_warmup": 0}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return faces_tiny.Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """Adapted from a folder to a folder, and evaluated: (run, the folders)."""
    root = tmp_path_factory.mktemp("adapted")
    source = tiny.write_classes(root / "labelled-things", 0, 40)
    target = tiny.write_flat(root / "unlabelled-things", 1, 40)
    words = ["--source", source, "--target", target, "--batch-source", 4, "--batch-target", 4, "--images", 24]
    words += ["--width", 8, "--size", 28, "--validation", 0.3, "--precision", "float32", "--out", root / "run"]
    assert genshift.cli.main.main([str(word) for word in ("train", "adamatch", *words)]) == 0
    return root / "run", (source, target)


def bundled(capfd, run, out, *words):
    said = told(capfd, "bundle", run, "--out", out, *words)
    assert f'genshift.load("{out}") answers as the run does' in said
    return out


def pictures(count, side):
    noise = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return list(noise)


# --- it answers as the run does, to the bit ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["judge", "attributes"])
def test_a_classifier_predicts_and_embeds_alike(name, studio, tmp_path, capfd):
    run, out = genshift.load(studio[name]), genshift.load(bundled(capfd, studio[name], tmp_path / "b"))
    assert out.predict(pictures(5, 20)) == run.predict(pictures(5, 20)) and out.classes == run.classes
    assert np.array_equal(out.embed(pictures(5, 20)), run.embed(pictures(5, 20)))


def test_an_adapted_run_predicts_alike_by_its_chosen_checkpoint(adapted, tmp_path, capfd):
    run = genshift.load(adapted[0])
    out = genshift.load(bundled(capfd, adapted[0], tmp_path / "b"))
    assert out.predict(pictures(6, 28)) == run.predict(pictures(6, 28))
    assert out.temperature == run.temperature != 1, "confidence is told alike"
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert config["bundle"]["checkpoint"] == run.run.checkpoint.name and run.run.checkpoint.name.startswith("candidate")


def test_a_vae_with_its_fitted_prior_draws_and_embeds_alike(studio, tmp_path, capfd):
    run = genshift.load(studio["vae-classes"])
    out = genshift.load(bundled(capfd, studio["vae-classes"], tmp_path / "b"))
    assert (tmp_path / "b" / "prior.safetensors").exists()
    for ours, theirs in zip(out.sample(6, seed=2), run.sample(6, seed=2), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(out.embed(pictures(4, 16)), run.embed(pictures(4, 16)))


def test_a_gan_draws_alike(studio, tmp_path, capfd):
    run, out = genshift.load(studio["gan"]), genshift.load(bundled(capfd, studio["gan"], tmp_path / "b"))
    assert all(map(np.array_equal, out.sample(6, seed=2), run.sample(6, seed=2)))
    whole = sum(path.stat().st_size for path in studio["gan"].rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in (tmp_path / "b").rglob("*")) < whole / 2


def test_a_diffusion_model_draws_alike_as_its_sweep_chose_by_its_early_state(studio, tmp_path, capfd):
    run = tmp_path / "ddm"
    preset = tiny.of_pictures("digits-diffusion", studio.data, **SMALL)
    tiny.train(preset, run, images=32, observers=[autoguidance.keeper(RunFolder(run))])
    assert not (bundled(capfd, run, tmp_path / "plain") / "checkpoints").exists(), "it draws without its early state"
    chosen = {"sampling": {**SWEPT, "guide": "weak"}, "images": RunFolder(run).seen, "why": "best"}
    (run / "sampling.json").write_text(json.dumps(chosen))
    out = bundled(capfd, run, tmp_path / "b")
    assert all(map(np.array_equal, genshift.load(out).sample(4, seed=2), genshift.load(run).sample(4, seed=2)))
    plain = genshift.load(tmp_path / "plain").sample(4, seed=2)
    assert not all(map(np.array_equal, genshift.load(out).sample(4, seed=2), plain))


SWEPT = {"sampler": "ddim", "steps": 3, "guidance": 3.0, "guidance_from": 0.0, "guidance_to": 1.0}


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_bundle_tells_no_place_and_no_file_of_the_users(adapted, tmp_path, capfd):
    run, folders = adapted
    out = bundled(capfd, run, tmp_path / "b", "--license", "apache-2.0")
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {"README.md", "config.json", "results.json", "selection.json", "model.safetensors"}
    text = "".join(path.read_bytes().decode("utf-8", "replace") for path in out.rglob("*") if path.is_file())
    assert "labelled-things" in text, "a folder's last name is told"
    assert str(tmp_path.parent) not in text and str(run.parent) not in text
    for path in (path for folder in folders for path in folder.rglob("*.png")):
        assert path.name not in text and path.stem not in re.findall(r"[\w-]+\.png", text)
    config = json.loads((out / "config.json").read_text())
    assert config["command"] == "" and all("manifest" not in entry for entry in config["data"].values())
    assert not {"auto_map", "custom_pipelines"} & set(config)


def test_a_list_or_an_archive_as_a_set_is_told_without_its_ending(adapted, tmp_path):
    preset = genshift.presets.named("adapt").replaced(source="/secret/patients.csv", target="C:\\secret\\scans.tar.gz")
    told_preset = bundling.without_places(preset)
    assert (told_preset.source, told_preset.target) == ("patients", "scans")
    said = bundling._plain("98% on /secret/patients.csv, beside ~/runs/mine and 3/4 of C:\\secret\\x.png", preset)
    assert said == "98% on patients, beside mine and 3/4 of x.png"


def test_the_readme_has_what_a_hub_expects(studio, adapted, tmp_path, capfd):
    yaml = pytest.importorskip("yaml")
    out = bundled(capfd, studio["judge"], tmp_path / "b", "--license", "cc-by-nc-4.0")
    _, header, body = (out / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(header)
    assert about["library_name"] == "genshift" and about["license"] == "cc-by-nc-4.0"
    assert about["pipeline_tag"] == "image-classification" and {"genshift", "classifier"} <= set(about["tags"])
    results = json.loads((studio["judge"] / "results.json").read_text())
    (task,) = about["model-index"][0]["results"]
    metrics = {metric["name"]: metric for metric in task["metrics"]}
    assert metrics["test_accuracy"]["value"] == results["test_accuracy"]["value"]
    assert metrics["test_accuracy"]["args"]["n"] == results["test_accuracy"]["n"] == 20
    assert task["task"]["type"] and task["dataset"] == {"name": "portraits", "type": "portraits"}
    assert "not known to genshift: its owner's" in body and "Classes: land, sea & sky." in body
    warnings = json.loads((studio["judge"] / "evaluation.json").read_text())["warnings"]
    assert all(f"- {line}" in body for line in warnings)
    # A generator's measures have floors.
    out = bundled(capfd, studio["gan"], tmp_path / "g")
    _, header, body = (out / "README.md").read_text().split("---\n", 2)
    (task,) = yaml.safe_load(header)["model-index"][0]["results"]
    assert any("floor" in metric["args"] for metric in task["metrics"]) and "license" not in yaml.safe_load(header)
    assert "model.sample(16" in body


def test_the_readme_of_a_catalogued_set_has_its_licence(tmp_path, capfd):
    words = ["--source", "uci", "--target", "uci-m", "--width", 8, "--images", 64, "--no-evaluate"]
    told(capfd, "train", "dann", *words, "--precision", "float32", "--out", tmp_path / "run")
    text = (bundled(capfd, tmp_path / "run", tmp_path / "b") / "README.md").read_text()
    assert "CC BY 4.0" in text and "Alpaydin and Kaynak" in text and "It was not measured." in text


def test_a_header_holds_whatever_names_classes_and_measures_have(studio, tmp_path, capfd):
    yaml = pytest.importorskip("yaml")
    run = shutil.copytree(studio["judge"], tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    odd = 'a "b": \u009f\u2028 |é→🙂 # --- {x}'
    results[odd] = {**results["test_accuracy"], "protocol": odd}
    results["not_taken"] = {**results["test_accuracy"], "value": None}
    (run / "results.json").write_text(json.dumps(results))
    _, header, _ = (bundled(capfd, run, tmp_path / "b") / "README.md").read_text().split("---\n", 2)
    metrics = yaml.safe_load(header)["model-index"][0]["results"][0]["metrics"]
    assert odd in [metric["name"] for metric in metrics] and "not_taken" not in [metric["name"] for metric in metrics]


def test_the_hubs_client_reads_the_card(studio, tmp_path, capfd):
    client = pytest.importorskip("huggingface_hub")
    out = bundled(capfd, studio["judge"], tmp_path / "b", "--license", "mit")
    card = client.ModelCard.load(out / "README.md").data
    assert card.license == "mit" and card.library_name == "genshift" and card.eval_results[0].metric_value >= 0


# --- whole or absent, and refusals ------------------------------------------------------------------------------------


def test_a_bundle_that_is_killed_leaves_nothing_half_written(studio, tmp_path, capfd):
    out = bundled(capfd, studio["judge"], tmp_path / "b")
    before = faces_tiny.written(out)
    code = (
        "import sys, time\n"
        "from genshift.exporting import bundle\n"
        "def slow(*_):\n    print('here', flush=True); time.sleep(60)\n"
        "bundle.write_text = slow\n"  # README.md, after the weights
        "import genshift\n"
        "genshift.bundle(sys.argv[1], sys.argv[2])\n"
    )
    for place in (out, tmp_path / "new"):
        words = [sys.executable, "-c", code, str(studio["judge"]), str(place)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, env=tiny.environment())
        assert process.stdout.readline() == b"here\n"
        process.kill()
        process.wait()
        process.stdout.close()
    assert faces_tiny.written(out) == before and not (tmp_path / "new").exists()
    assert list(tmp_path.glob(".*.new")), "a folder under another name stays"
    for place in (out, tmp_path / "new"):
        bundled(capfd, studio["judge"], place)
        assert genshift.load(place).classes == ("land", "sea & sky")
    assert not list(tmp_path.glob(".*"))


def test_a_bundle_takes_no_other_folders_place(studio, tmp_path, capfd):
    run, out = studio["judge"], tmp_path / "b"
    assert "is no bundle" in refused(capfd, "bundle", run, "--out", run.parent)
    assert "is no bundle" in refused(capfd, "bundle", run, "--out", run)
    bundled(capfd, run, out)
    (out / "notes.txt").write_text("mine")
    assert "holds notes.txt, which is no bundle's" in refused(capfd, "bundle", run, "--out", out)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(out / "model.safetensors", other)
    (other / "config.json").write_text('{"model_type": "bert"}')
    assert str(other) in refused(capfd, "bundle", run, "--out", other)
    assert (other / "config.json").read_text() == '{"model_type": "bert"}'
    assert "no name of a licence" in refused(capfd, "bundle", run, "--out", tmp_path / "c", "--license", "my own!")


def test_what_needs_the_run_itself_is_refused_of_a_bundle(adapted, studio, tmp_path, capfd):
    out = bundled(capfd, adapted[0], tmp_path / "b")
    sentence = "is a bundle, which answers and does not know what its run learnt from"
    source, target = adapted[1]
    for words in (
        ["evaluate", out], ["select", out], ["clean", out], ["label", out], ["bundle", out, "--out", tmp_path / "c"],
        ["train", "adamatch", "--source", source, "--target", target, "--out", out],
        ["train", "adamatch", "--source", source, "--target", target, "--from", out, "--out", tmp_path / "from"],
    ):  # fmt: skip
        assert sentence in refused(capfd, *words), words
    assert "prior" in refused(capfd, "export", out, "--part", "prior", "--format", "pt2", "--out", tmp_path / "a.pt2")
    # What a bundle can do: predict, be listed, compared, exported, and judge.
    assert f"next: genshift export {out}" in told(capfd, "predict", out, target, "--out", tmp_path / "labels.csv")
    assert "adamatch" in told(capfd, "ls", tmp_path) and "AdaMatch" in told(capfd, "compare", out)
    told(capfd, "export", out, "--out", tmp_path / "a.safetensors")


def test_a_run_that_cannot_answer_is_refused(studio, tmp_path, capfd):
    run = shutil.copytree(studio["vae-classes"], tmp_path / "run")
    (run / "prior.safetensors").unlink()
    assert "`genshift evaluate" in refused(capfd, "bundle", run, "--out", tmp_path / "b")
    assert "not a run folder" in refused(capfd, "bundle", tmp_path, "--out", tmp_path / "b")
    assert not (tmp_path / "b").exists() and not list(tmp_path.glob(".*"))


def test_a_damaged_bundle_is_refused(studio, tmp_path, capfd):
    out = bundled(capfd, studio["judge"], tmp_path / "b")
    state = checkpoint.load(out / "model.safetensors")
    state.tensors.popitem()
    checkpoint.save(out / "model.safetensors", state)
    with pytest.raises(genshift.Refusal, match="would not have written"):
        genshift.load(out)


# --- push -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine, by itself: the client is read anew, for it reads its environment once."""
    pytest.importorskip("huggingface_hub")
    # Its client's own calls, which its makers see to.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="httpx")
    from hub_server import TOKEN, Hub

    with Hub() as server:
        for name, value in {"ENDPOINT": server.url, "HOME": tmp_path / "hf", "TOKEN": TOKEN}.items():
            monkeypatch.setenv(f"HF_{name}", str(value))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # the hub's own store of large files, beside git's
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            monkeypatch.delitem(sys.modules, name)
        yield server
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]


def test_push_sends_a_bundle_and_the_readmes_lines_load_it(hub, studio, tmp_path, capfd):
    run = studio["vae-classes"]
    said = told(capfd, "push", run, "me/faces", "--license", "mit")
    assert f"{run} is at {hub.url}/me/faces" in said and hub.private == {"me/faces": True}
    sent = hub.repos["me/faces"]
    assert set(sent) == {".gitattributes", *faces_tiny.written(bundled(capfd, run, tmp_path / "b", "--license", "mit"))}
    code = re.search(r"```python\n(.*?)```", sent["README.md"].decode(), re.S).group(1)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    assert all(map(np.array_equal, names["model"].sample(3), genshift.load(run).sample(3)))
    # Again, as a bundle that is there, which has less: what it has not, goes.
    told(capfd, "push", bundled(capfd, studio["judge"], tmp_path / "judge"), "me/faces")
    assert "prior.safetensors" not in hub.repos["me/faces"] and ".gitattributes" in hub.repos["me/faces"]
    told(capfd, "push", studio["judge"], "me/open", "--public")
    assert not hub.private["me/open"]


def test_what_the_hub_refuses_is_one_sentence(hub, studio, tmp_path, capfd, monkeypatch):
    run = studio["judge"]
    hub.status = 507
    assert "the hub answered 507" in refused(capfd, "push", run, "me/faces", last_line=True)
    for name in ("me/faces/more", "faces"):
        assert "no name of a repository: expected OWNER/NAME" in refused(capfd, "push", run, name)
    monkeypatch.setenv("HF_TOKEN", "of somebody else")
    assert "`hf auth login`" in refused(capfd, "push", run, "me/faces")
    monkeypatch.delenv("HF_TOKEN")
    assert "`hf auth login`" in refused(capfd, "push", run, "me/faces")
    out = bundled(capfd, run, tmp_path / "b")
    assert "leave license out" in refused(capfd, "push", out, "me/faces", "--license", "mit")
    (out / "photo.jpg").write_bytes(b"")
    assert "holds photo.jpg" in refused(capfd, "push", out, "me/faces")


def test_a_hub_that_is_not_there_is_one_sentence(studio, tmp_path, capfd):
    pytest.importorskip("huggingface_hub")
    environment = {**tiny.environment(), "HF_TOKEN": "x", "HF_HOME": str(tmp_path)}
    begun = time.monotonic()
    for name, value, sentence in (
        ("HF_ENDPOINT", "http://127.0.0.1:9", "the hub was not reached"),
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE"),
    ):
        words = [sys.executable, "-m", "genshift", "push", str(studio["judge"]), "me/faces"]
        done = subprocess.run(words, env={**environment, name: value}, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.splitlines()[-1].startswith("genshift: ") and sentence in done.stderr
    assert time.monotonic() - begun < 300


def test_push_without_its_extra_is_refused_before_any_work(studio, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setattr(hubs, "bundle", lambda *_: pytest.fail("nothing is made"))
    assert "pip install 'genshift[hub]'" in refused(capfd, "push", studio["judge"], "me/faces")


def test_load_contacts_nobody(studio, tmp_path, capfd, monkeypatch):
    out = bundled(capfd, studio["judge"], tmp_path / "b")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a host was asked"))
    assert torch.is_tensor(genshift.load(out).probabilities(torch.zeros(1, 3, 16, 16, dtype=torch.uint8)))
