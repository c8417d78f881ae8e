"""What every preset of adaptation owes: it builds, learns a step, saves, loads, and continues bit for bit.

`test_contract_pictures.py` asks the same of generators and classifiers.
"""

from pathlib import Path

import pytest
import tiny
import torch

from genshift import nets
from genshift.data.catalog import CATALOG
from genshift.methods import networks_of
from genshift.presets import METHODS, PRESETS, Adaptation
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run

pytestmark = pytest.mark.usefixtures("quick")

# What presets say of their data, budget and width; here all are tiny.
OF_DATA = ("source", "target", "extra", "frame", "images", "width", "batch_source", "batch_target", "precision")


def method_of(preset):
    """All that presets can differ in here, to compare: networks, role and options but OF_DATA."""
    options = {key: value for key, value in preset.options().items() if key not in OF_DATA}
    return type(preset), preset.networks, preset.method, tuple(options.items())


ALL = {name: preset for name, preset in PRESETS.items() if isinstance(preset, Adaptation)}
FIRST = {method_of(preset): name for name, preset in reversed(ALL.items())}
ONCE = [name for name in ALL if name in FIRST.values()]
# Every method in float32; one of each kind of network and method in bfloat16; one without a moving average.
KINDS = ("demo-source", "demo-dann", "hw3-source-usps-mnistm", "hw3-dann-usps-mnistm", "hw3-adda-usps-mnistm")
CASES = [
    *(pytest.param(name, {}, id=name) for name in ONCE),
    *(pytest.param(name, {"precision": "bfloat16"}, id=f"{name}-bfloat16") for name in (*KINDS, "cdan-usps-mnistm")),
    pytest.param("demo-dann", {"ema_half_life": 0, "lr_schedule": "cosine"}, id="demo-dann-no-average"),
    pytest.param("demo-dann", {"pooling": "two-averaged", "size": 32}, id="averaged"),
    pytest.param("demo-dann", {"pooling": "five", "size": 32}, id="five-poolings"),
    pytest.param("hw3-dann-svhn-usps", {"batch_target": 7}, id="unequal-batches"),
]


def small(name, domains, **changes):
    """The preset over tiny domains, on a narrow backbone where it has that, and from weights where it rests on some."""
    own = {"width": 8} if "width" in ALL[name].options() else {}
    if ALL[name].method in METHODS and METHODS[ALL[name].method].pretrained:
        own |= {"weights": str(tiny.write_squeezenet(domains[0].parent / "weights.safetensors")), "size": 32}
    return tiny.tiny(name, domains, **own, **changes)


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_run_stopped_and_continued_ends_as_an_undisturbed_one(name, changes, domains, tmp_path):
    """Stopped by Ctrl-C in the middle of a budget; weights, moments, averages and the best are bit-identical."""
    preset = small(name, domains, **changes)
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    start = tiny.train(preset, whole)
    assert start is True
    assert tiny.train(preset, parted, observers=[tiny.StopAt(3 * preset.step_images)]) is False
    stopped = tiny.last(parted)
    assert tiny.different(tiny.last(whole), stopped), "the run was not stopped early"
    assert tiny.train(preset, parted) is True
    assert tiny.different(tiny.last(whole), tiny.last(parted)) == []
    assert tiny.different(tiny.best(whole), tiny.best(parted)) == []
    assert all(torch.isfinite(value).all() for value in tiny.last(whole).values())
    saved_model_answers_alike(whole, parted)


def saved_model_answers_alike(*runs: Path) -> None:
    """Loaded twice, and from both runs, a model gives equal predictions, which are no constant."""
    images = tiny.digits(12, 5, side=RunFolder(runs[0]).config["preset"]["fields"]["size"]).images
    answers = [open_run(RunFolder(run)).method.predict(images) for run in (*runs, runs[0])]
    assert all(torch.equal(answers[0], other) for other in answers[1:])
    assert answers[0].std(0).max() > 0


@pytest.mark.parametrize("name", KINDS)
def test_what_is_loaded_answers_as_what_was_trained(name, domains, tmp_path):
    """The last check's predictions, seen by an observer, are those of the checkpoint."""
    seen = {}
    images = tiny.digits(12, 5).images

    def note(count, method):
        seen[count] = method.predict(images)

    preset = tiny.tiny(name, domains)
    tiny.train(preset, tmp_path / "run", observers=[note])
    assert torch.equal(open_run(RunFolder(tmp_path / "run"), "last").method.predict(images), seen[max(seen)])


@pytest.mark.parametrize("name", KINDS)
def test_the_seed_alone_decides(name, domains, tmp_path):
    preset = tiny.tiny(name, domains)
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        tiny.train(preset, tmp_path / run, seed=seed, images=8)
    one, same, other = (tiny.last(tmp_path / run) for run in "abc")
    assert tiny.different(one, same) == []
    assert {name for name in tiny.different(one, other) if name.endswith("weight")}, "the seed changes nothing"


@pytest.mark.parametrize("name", [name for name in ALL if name not in ONCE])
def test_a_preset_that_differs_in_its_data_alone_builds_what_was_trained(name):
    """The networks of the preset that stands for it above; they take what its data give. Nothing is computed."""
    preset, trained = ALL[name], ALL[FIRST[method_of(ALL[name])]]
    if "width" in preset.options():
        trained = trained.replaced(width=preset.width)
    with torch.device("meta"):
        networks, others = networks_of(preset, 10), networks_of(trained, 10)
        pictures = torch.zeros(2, nets.channels(preset), preset.size, preset.size)
        predicted = networks["predictor"].eval()(networks["extractor"].eval()(pictures))
    assert predicted.shape == (2, 10) and set(map(str, networks.values())) == set(map(str, others.values()))
    assert {preset.source, preset.target} <= CATALOG.keys()


# --- two processes --------------------------------------------------------------------------------------------------

# Of each method on our backbone the sums are longer: many take something of the whole batch beside gradients
# (statistics, covariances, kernels, thresholds, centroids).
ON_PHOTOS = {"self-training": "adapt-photos"}  # whose method has no preset of digits
PAIRS = {
    "demo-source": 1e-9,
    "hw3-dann-usps-mnistm": 1e-9,
    "hw3-adda-usps-mnistm": 1e-9,
    **{ON_PHOTOS.get(method, f"{method}-usps-mnistm"): 1e-7 for method in METHODS},
}


@pytest.fixture(scope="module")
def pairs(domains, tmp_path_factory):
    """The runs of PAIRS in float64, by two processes: {name: (preset, run folder)}."""
    changes = {"batch_target": 8, "precision": "float64", "images": 12}
    wanted = {name: small(name, domains, **changes) for name in PAIRS}
    runs = tiny.by_two_processes(tmp_path_factory.mktemp("pairs"), wanted)
    return {name: (wanted[name], run) for name, run in runs.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_learn_what_one_does(name, pairs, tmp_path):
    preset, pair = pairs[name]
    assert tiny.train(preset, tmp_path / "one", images=preset.images)
    alike(tmp_path / "one", pair, PAIRS[name])


def test_two_processes_of_the_command_line_learn_what_one_does(domains, tmp_path):
    changes = {"batch_target": 8, "precision": "float64", "images": 12}
    preset = small("demo-dann", domains, **changes)
    options = {**changes, "batch_source": 4, "threads": 1, "source": preset.source, "target": preset.target}
    flags = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    tiny.torchrun("-m", "genshift", "train", "demo-dann", *flags, "--no-evaluate", "--out", tmp_path / "two")
    assert tiny.train(preset, tmp_path / "one", images=12)
    alike(tmp_path / "one", tmp_path / "two", 1e-9)


def alike(alone: Path, pair: Path, rtol: float) -> None:
    """The same networks, teachers, statistics and centroids up to the order of summation."""
    one, two = tiny.last(alone), tiny.last(pair)
    assert one.keys() == two.keys() and RunFolder(pair).config["world"] == 2
    for key, value in one.items():
        if "optimizer/" not in key:
            torch.testing.assert_close(two[key], value, rtol=rtol, atol=1e-9, msg=key)
    assert tiny.weights(alone)[0].keys() == tiny.weights(pair)[0].keys()
