"""What every generator and classifier owes: it builds, learns, saves, loads, and continues bit for bit."""

import signal

import pytest
import tiny
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from genshift.methods import DiffusionMethod, GeneratorMethod, base, diffusion, networks_of
from genshift.nets.layers import BatchNorm1d, BatchNorm2d
from genshift.presets import PRESETS, Pictures
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run
from genshift.training import train as training

pytestmark = pytest.mark.usefixtures("quick")

OURS = {"size": 16, "width": 8}  # our networks take any size; the printed VAE and GANs 64 pixels alone
SMALL = {
    "hw2-diffusion": {"size": 16, "steps": 2, "batch": 2},
    "digits-diffusion": {"steps": 2, "guide": "unconditional"},  # so short a run keeps no early state
    "faces-diffusion": {"steps": 2, "attribute": "Red"},
}
HINGE = {"loss": "hinge", "spectral_norm": "on", "r1": 0.0, "r2": 0.0, "diffaugment": "color,translation,cutout"}
MIN_SNR = {"process": "cosine", "predict": "epsilon", "weighting": "min-snr", "label_dropout": 0.5}
EDM = {"process": "edm", "predict": "edm", "sampler": "heun"}
# hw2-gan-b's method; its own networks take minutes in float64 where other work wants the processor.
WGAN = {"loss": "wgan", "spectral_norm": "on", "gradient_penalty": 10.0, "r1": 0.0, "r2": 0.0, "penalty_every": 1}
R3 = {"loss": "relativistic", "spectral_norm": "off", "r1": 1.0, "r2": 1.0, "diffaugment": "color,translation"}
ALL = [name for name, preset in PRESETS.items() if isinstance(preset, Pictures)]


def small(name, faces, **changes):
    """The preset at its smallest, on the set of that size."""
    ours = PRESETS[name].networks in ("residual", "unet")
    own = {**(OURS if ours else {"batch": 2}), **SMALL.get(name, {}), **changes}
    return tiny.of_pictures(name, faces[own.get("size", 64)], **own)


CASES = [
    *(pytest.param(name, {}, id=name) for name in ALL if name != "hw2-gan-b"),
    pytest.param("hw2-gan-b", {"precision": "bfloat16"}, id="hw2-gan-b"),  # a penalty in float32 within bfloat16
    pytest.param("faces-gan", {"precision": "bfloat16"}, id="faces-gan-bfloat16"),
    pytest.param("faces-gan", {**HINGE, "critic_steps": 2, "flip": 0.0}, id="faces-gan-hinge-resting"),
    pytest.param("faces-gan", {**R3, "penalty_every": 2, "lr_schedule": "constant"}, id="faces-gan-r3"),
    pytest.param("faces-gan", {"critic_steps": 2, "first": "generator", "ema_half_life": 0}, id="faces-gan-first"),
    pytest.param("faces-gan", {"condition": "classes"}, id="faces-gan-classes"),
    pytest.param("faces-vae", {"condition": "classes", "precision": "bfloat16"}, id="faces-vae-classes-bfloat16"),
    pytest.param("faces-attributes", {"validation": 0.25, "select": "best"}, id="faces-attributes-best"),
    pytest.param("faces-attributes", {"answers": "classes", "rotate": 0.0}, id="classes"),
    pytest.param("faces-attributes", {"precision": "bfloat16", "size": 64}, id="faces-attributes-bfloat16"),
    pytest.param("digits-diffusion", {"precision": "bfloat16"}, id="digits-diffusion-bfloat16"),
    pytest.param("digits-diffusion", {**MIN_SNR, "dropout": 0.2, "ema_half_life": 0}, id="digits-diffusion-min-snr"),
    pytest.param("digits-diffusion", {**EDM, "condition": "none"}, id="digits-diffusion-edm"),
]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Chunks of three pictures."""
    for module in (base, diffusion):
        monkeypatch.setattr(module, "CHUNK", 3)


def answers(run):
    """What a run's last model says or draws."""
    return answer(open_run(RunFolder(run), "last").method)


def answer(method):
    if isinstance(method, DiffusionMethod):
        return method.sample(3, seed=0).double()
    if isinstance(method, GeneratorMethod):
        labels = torch.arange(3) % method.classes if method.classes else None
        return method.decode(torch.linspace(-1, 1, 3 * method.preset.latent).view(3, -1), labels)
    return method.predict(tiny.faces(3, 9, method.preset.size).images)


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_run_stopped_and_continued_ends_as_an_undisturbed_one(name, changes, faces, tmp_path, monkeypatch):
    """Stopped by SIGTERM after three of four steps: weights, moments, averages and answers are bit-identical."""
    preset = small(name, faces, **changes)
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    monkeypatch.setattr(training, "LOGS", 4)
    budget = {"images": 4 * preset.batch, "keep": 1}
    assert tiny.train(preset, whole, **budget) is True
    stop = tiny.StopAt(2 * preset.batch, signal.SIGTERM)  # it takes effect after the step that follows
    assert tiny.train(preset, parted, **budget, observers=[stop]) is False
    assert RunFolder(parted).saved()[-1].stem == f"images-{3 * preset.batch:012d}"
    assert tiny.train(preset, parted, **budget) is True
    end = tiny.last(whole)
    assert tiny.different(end, tiny.last(parted)) == []
    assert all(value.isfinite().all() for value in end.values())
    assert tiny.weights(whole) == tiny.weights(parted)
    said = [answers(run) for run in (whole, parted)]
    assert torch.equal(*said) and said[0].std(0).max() > 0


@pytest.mark.parametrize("name", ["faces-gan", "faces-vae", "faces-attributes", "faces-diffusion"])
def test_what_is_loaded_answers_as_what_was_trained(name, faces, tmp_path):
    """What an observer saw at the last check is what the checkpoint gives, moving average and all."""
    seen = {}
    tiny.train(
        small(name, faces), tmp_path / "run", observers=[lambda count, method: seen.update({count: answer(method)})]
    )
    assert torch.equal(answers(tmp_path / "run"), seen[max(seen)])


@pytest.mark.parametrize("name", ["faces-gan", "faces-vae", "faces-attributes", "faces-diffusion"])
def test_the_seed_alone_decides(name, faces, tmp_path):
    preset = small(name, faces)
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        tiny.train(preset, tmp_path / run, seed=seed, images=8)
    one, same, other = (tiny.last(tmp_path / run) for run in "abc")
    assert tiny.different(one, same) == []
    changed = {key for key in tiny.different(one, other) if "weight" in key}
    assert changed >= {key for key in one if key.startswith("network/") and "conv1.weight" in key}


# --- two processes ----------------------------------------------------------------------------------------------------

PAIRS = {
    "hw3-gan": ("hw3-gan", {"optimizer": "sgd", "lr": 1.0}),  # Adam would enlarge what rounding leaves of no gradient
    "faces-gan-wgan": ("faces-gan", WGAN),
    "faces-gan-hinge": ("faces-gan", {**HINGE, "critic_steps": 2}),
    "faces-gan-r3": ("faces-gan", {**R3, "penalty_every": 1, "condition": "classes"}),
    "faces-vae": ("faces-vae", {}),
    "faces-attributes": ("faces-attributes", {}),
    "faces-diffusion": ("faces-diffusion", {"label_dropout": 0.5}),
    "digits-diffusion-min-snr": ("digits-diffusion", {**MIN_SNR, "dropout": 0.2}),
}


@pytest.fixture(scope="module")
def pairs(faces, tmp_path_factory):
    """The runs of PAIRS in float64, by two processes: {name: (preset, run folder)}."""
    root = tmp_path_factory.mktemp("pairs")
    wanted = {
        case: small(name, faces, **{"batch": 4, "precision": "float64", "images": 8, **changes})
        for case, (name, changes) in PAIRS.items()
    }
    runs = tiny.by_two_processes(root, wanted)
    return {case: (wanted[case], run) for case, run in runs.items()}


@pytest.mark.parametrize("case", PAIRS)
def test_two_processes_learn_what_one_does(case, pairs, tmp_path):
    """The same weights up to the order of summation: penalties, BatchNorm, noise and augmentation are the batch's."""
    preset, pair = pairs[case]
    assert tiny.train(preset, tmp_path / "one", images=preset.images)
    one, two = tiny.last(tmp_path / "one"), tiny.last(pair)
    assert one.keys() == two.keys() and RunFolder(pair).config["world"] == 2
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-9, atol=1e-9, msg=key)
    for row, other in zip(tiny.weights(tmp_path / "one"), tiny.weights(pair), strict=True):
        alike = {key: value for key, value in row.items() if key not in ("train/spread", "alarms")}  # of a share
        assert alike == pytest.approx({key: other[key] for key in alike}, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in ALL if PRESETS[name].networks.startswith("hw")])
def test_printed_networks_take_their_batch_statistics_over_all_processes(name):
    """Those that are too large for a pair too: their layers are the ones that are seen in pairs."""
    with torch.device("meta"):
        networks = networks_of(PRESETS[name], 0 if PRESETS[name].condition == "none" else 10)
    layers = [layer for net in networks.values() for layer in net.modules() if isinstance(layer, _BatchNorm)]
    assert {type(layer) for layer in layers} <= {BatchNorm1d, BatchNorm2d}
