"""What `genshift export` writes, run as somebody without genshift would; its reading of pictures, and refusals."""

import json
import re
import shutil
import sys
from pathlib import Path

import faces_tiny
import numpy as np
import pytest
import tiny
import torch
from PIL import Image, ImageFilter
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import refused, told

import genshift
from genshift.data.dataset import Decoding
from genshift.data.pixels import as_array, finish
from genshift.exporting import write
from genshift.exporting.reading import Reading
from genshift.methods import networks_of
from genshift.runs import checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import preset_of
from genshift.sampling import autoguidance
from genshift.sampling.trained_generator import open_generator

pytestmark = pytest.mark.usefixtures("quick")
GUIDE = (Path(__file__).parents[1] / "docs" / "guide" / "export.md").read_text(encoding="utf-8")
SMALL = {**tiny.SAMPLED_PLAINLY, "size": 16, "width": 16, "patch": 4, "steps": 6, "guidance": 3.0, "lr_warmup": 0}
SIZES = [(16, 16), (20, 33), (64, 64), (63, 90), (150, 200), (9, 13), (300, 31)]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return faces_tiny.Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def denoising(studio):
    """A diffusion model of two classes that kept its early state."""
    run = studio.root / "ddm"
    if not run.exists():
        preset = tiny.of_pictures("digits-diffusion", studio.data, **SMALL)
        tiny.train(preset, run, images=32, observers=[autoguidance.keeper(RunFolder(run))])
    return run


def smooth(height, width, seed=0):
    """A colour picture uint8 `[H, W, 3]` with edges and noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1)))


def run_onnx(file, *inputs):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(file))
    names = [given.name for given in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))[0], session.get_modelmeta().custom_metadata_map


def run_pt2(file, *inputs):
    with file.open("rb") as stream:
        extra = {"genshift.json": ""}
        module = torch.export.load(stream, extra_files=extra).module()
    return module(*map(torch.from_numpy, inputs)).detach().numpy(), json.loads(extra["genshift.json"])


RUNNERS = {"pt2": run_pt2, "onnx": run_onnx}


def exported(capfd, run, form, folder, *words):
    """The file, with what was printed of it."""
    if form == "onnx":
        for name in write.NEEDED["onnx"]:
            pytest.importorskip(name)
    file = folder / f"model.{form}"
    said = told(capfd, "export", run, "--out", file, *words)
    assert float(re.search(r"agrees with PyTorch to (\S+) ", said).group(1)) <= write.BOUND
    assert not list(folder.glob("*.part"))
    return file


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["rgb", "grey"])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_pictures_of_any_size_are_read_as_genshift_reads_them(fit, colour):
    """Bytes are equal but for one in a thousand, which differs by one: those that lie between two."""
    graph = Reading(16, fit, colour == "grey", 1 if colour == "grey" else 3, 0.0, 1.0)
    unlike = []
    for height, width in SIZES:
        picture = smooth(height, width)
        decoded = as_array(Image.fromarray(picture), 16, decoding=Decoding(fit))
        expected = finish(torch.from_numpy(decoded.pixels)[None], 16, colour).float()
        given = (graph(torch.from_numpy(picture.copy())[None]) * 255).round()
        unlike.append((given - expected).abs().flatten())
    assert torch.cat(unlike).max() <= 1 and (torch.cat(unlike) > 0).float().mean() < 2e-3


# --- one of each family -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", RUNNERS)
@pytest.mark.parametrize("name", ["judge", "attributes"])
def test_a_classifier_answers_as_predict_does(name, form, studio, tmp_path, capfd):
    model = genshift.load(studio[name], device="cpu")
    file = exported(capfd, studio[name], form, tmp_path)
    for height, width in SIZES[:5]:
        pictures = [smooth(height, width, seed) for seed in range(3)]
        expected = model.probabilities(model.read(pictures)[0].images).numpy()
        for some in (pictures, pictures[:1]):
            answer, about = RUNNERS[form](file, np.stack(some))
            assert np.abs(answer - expected[: len(some)]).max() < 2e-3  # a byte may differ by one
            assert answer.shape == (len(some), 2)
    assert json.loads(about["classes"]) == list(model.classes) and about["size"] == "16"
    assert about["genshift"] == genshift.__version__ and "image.draft" in about["decoding"]
    assert json.loads(about["measures"]) and "not known" in json.loads(about["data"])["data"]["licence"]
    assert str(studio.root) not in json.dumps(dict(about)), "where data lay is not told"


@pytest.mark.parametrize("form", RUNNERS)
def test_an_adapted_run_answers_with_its_chosen_checkpoint(form, domains, tmp_path, capfd):
    run = tmp_path / "run"
    words = ["--source", domains[0], "--target", domains[1], "--batch-source", 4, "--batch-target", 4, "--images", 24]
    told(capfd, "train", "adamatch", *words, "--width", 8, "--precision", "float32", "--out", run, "--no-evaluate")
    last = json.loads((run / "selection.json").read_text())["checkpoint"] if (run / "selection.json").exists() else ""
    file = exported(capfd, run, form, tmp_path)
    model = genshift.load(run, device="cpu")
    pictures = np.stack([smooth(32, 32, seed) for seed in range(20)])
    expected = model.probabilities(model.read(list(pictures))[0].images).numpy()
    answer, about = RUNNERS[form](file, pictures)
    assert np.abs(answer - expected).max() < 1e-4 and about["checkpoint"] == model.run.checkpoint.name
    assert last in ("", about["checkpoint"]) and float(about.get("temperature", 1)) == model.temperature


@pytest.mark.parametrize("form", RUNNERS)
@pytest.mark.parametrize("name", ["gan-classes", "vae-classes"])
def test_a_generator_draws_what_sample_draws(name, form, studio, tmp_path, capfd):
    method = open_generator(RunFolder(studio[name])).method
    latents, labels = torch.randn(5, 8, generator=torch.Generator().manual_seed(3)), torch.tensor([0, 1, 1, 0, 1])
    expected = method.decode(latents, labels).permute(0, 2, 3, 1).numpy()
    file = exported(capfd, studio[name], form, tmp_path)
    for n in (5, 1):
        answer, about = RUNNERS[form](file, latents[:n].numpy(), labels[:n].numpy())
        assert np.abs(answer - expected[:n]).max() < 1e-4 and answer.shape == (n, 16, 16, 3)
    assert about["part"] == ("generator" if name.startswith("gan") else "decoder")


@pytest.mark.parametrize("form", RUNNERS)
def test_a_vaes_encoder_and_prior(form, studio, tmp_path, capfd):
    model = genshift.load(studio["vae-classes"], device="cpu")
    pictures = np.stack([smooth(16, 16, seed) for seed in range(4)])
    file = exported(capfd, studio["vae-classes"], form, tmp_path, "--part", "encoder")
    assert np.abs(RUNNERS[form](file, pictures)[0] - model.embed(list(pictures))).max() < 1e-4
    # Of many numbers the mixture's own share falls to each component, with its mean.
    file = exported(capfd, studio["vae-classes"], form, tmp_path, "--part", "prior")
    mixture = open_generator(RunFolder(studio["vae-classes"])).method.mixture
    uniform = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
    labels = np.ones(1000, dtype=np.int64)
    drawn, _ = RUNNERS[form](file, np.zeros((1000, 8), dtype=np.float32), uniform, labels)
    expected = (mixture.weights[1][:, None] * mixture.means[1]).sum(0).numpy()
    assert np.abs(drawn.mean(0) - expected).max() < 2e-2


@pytest.mark.parametrize("form", RUNNERS)
def test_the_guides_loop_around_the_denoiser_draws_what_sample_draws(form, denoising, tmp_path, capfd):
    """The guide's lines as they stand, of one chunk's own noise; in pt2 with the few lines that run it otherwise."""
    file = exported(capfd, denoising, form, tmp_path)
    code = re.search(r"```python\n(.*?)```", GUIDE.partition("## The sampler's loop")[2], re.S).group(1)
    method = open_generator(RunFolder(denoising)).method
    generator, labels = method.start(0, 7)
    noise = method.noise(generator).permute(0, 2, 3, 1).contiguous().numpy()
    names = {"noise": noise, "labels": labels.numpy(), "FILE": str(file)}
    if form == "pt2":
        code = code.partition("# --- the loop\n")[2]
        extra = {"genshift.json": ""}
        with file.open("rb") as stream:
            net = torch.export.load(stream, extra_files=extra).module()
        names |= {"json": json, "np": np, "about": json.loads(extra["genshift.json"])}
        names["denoise"] = lambda x, t, y: net(*map(torch.from_numpy, (x, np.full(len(x), t, np.float32), y))).numpy()
    exec(compile(code, "guide", "exec"), names)  # noqa: S102
    expected = method.sample(50, 7).permute(0, 2, 3, 1).numpy().astype(int)
    assert np.abs(names["pictures"].astype(int) - expected).max() <= 1


def test_the_early_state_that_guides_is_a_part(denoising, tmp_path, capfd):
    weak, good = tmp_path / "weak.safetensors", tmp_path / "good.safetensors"
    told(capfd, "export", denoising, "--part", "weak", "--guide", "both", "--out", weak)
    told(capfd, "export", denoising, "--out", good)
    assert tiny.different(load_file(weak), load_file(good))
    assert "guides by no early state" in refused(capfd, "export", denoising, "--part", "weak", "--out", weak)


# --- weights alone ----------------------------------------------------------------------------------------------------


def test_weights_alone_make_the_networks_again(studio, tmp_path, capfd):
    file = exported(capfd, studio["judge"], "safetensors", tmp_path)
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    preset = preset_of({"genshift": about["genshift"], "preset": json.loads(about["preset"])})
    networks = networks_of(preset, len(json.loads(about["classes"])))
    tensors = load_file(file)
    for name in ("extractor", "predictor"):
        networks[name].load_state_dict(checkpoint.under(tensors, f"{name}/"))
    assert {name.partition("/")[0] for name in tensors} == {"extractor", "predictor"}
    assert file.stat().st_size < sum(p.stat().st_size for p in studio["judge"].rglob("*") if p.is_file()) / 3


def test_the_averaged_weights_are_what_is_written(studio, tmp_path, capfd):
    run = studio["gan"]
    told(capfd, "export", run, "--out", tmp_path / "gan.safetensors")
    stored = tiny.last(run)
    average = {name: tensor for name, tensor in stored.items() if name.startswith("average/generator.")}
    assert average, "this preset averages"
    for name, tensor in load_file(tmp_path / "gan.safetensors").items():
        assert torch.equal(tensor, average[f"average/{name.replace('/', '.', 1)}"])


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_exported_is_refused(studio, tmp_path, capfd, monkeypatch):
    run = studio["judge"]
    assert "There is no part 'encodr'" in refused(capfd, "export", run, "--part", "encodr", "--format", "pt2")
    assert "--format does not take 'onx'" in refused(capfd, "export", run, "--format", "onx")
    assert "another format than pt2" in refused(capfd, "export", run, "--format", "pt2", "--out", tmp_path / "a.onnx")
    assert "is a folder" in refused(capfd, "export", run, "--format", "pt2", "--out", tmp_path)
    (tmp_path / "file").write_text("")
    assert "writing" in refused(capfd, "export", run, "--format", "pt2", "--out", tmp_path / "file" / "a.pt2")
    assert "has no --steps" in refused(capfd, "export", run, "--steps", 3, "--out", tmp_path / "a.pt2")
    assert "not a run folder" in refused(capfd, "export", tmp_path, "--out", tmp_path / "a.pt2")
    words = ["export", studio["gan"], "--part", "encoder", "--out", tmp_path / "a.pt2"]
    assert "There is no part 'encoder'" in refused(capfd, *words)
    for name in write.NEEDED["onnx"]:
        monkeypatch.setitem(sys.modules, name, None)
    said = refused(capfd, "export", run, "--out", tmp_path / "a.onnx")
    assert "pip install 'genshift[export]'" in said and not (tmp_path / "a.onnx").exists()


def test_a_run_that_has_diverged_is_refused(studio, tmp_path, capfd):
    """Weights that are finite, and answers that are not."""
    run = shutil.copytree(studio["judge"], tmp_path / "run")
    for path in (run / "checkpoints").glob("*.safetensors"):
        state = checkpoint.load(path)
        for tensor in state.tensors.values():
            if tensor.is_floating_point() and tensor.dim() > 1:
                tensor.mul_(1e30)
        checkpoint.save(path, state)
    said = refused(capfd, "export", run, "--out", tmp_path / "a.pt2")
    assert "not finite: its training diverged" in said and not (tmp_path / "a.pt2").exists()


def test_a_file_that_answers_otherwise_is_not_written(studio, tmp_path, capfd, monkeypatch):
    def wrong(part, metadata, path):
        path.write_bytes(b"model")
        return lambda example: part.module(*example.values()) + 1e-3

    monkeypatch.setitem(write.FORMATS, "pt2", wrong)
    assert "differs from PyTorch's answers by 1.0e-03" in refused(
        capfd, "export", studio["judge"], "--out", tmp_path / "a.pt2"
    )
    assert not list(tmp_path.iterdir())
