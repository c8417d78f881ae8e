"""Checkpoints that lie: each is refused in one sentence, before any of it is used, by whatever opens it."""

import os
import re
import shutil

import pytest
import tiny
import torch
from safetensors.torch import save_file

import genshift
from genshift.errors import Refusal
from genshift.evaluation import evaluate
from genshift.evaluation.options import EvaluationOptions
from genshift.runs import checkpoint, files
from genshift.runs.checkpoint import Checkpoint
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run
from genshift.selection import checkpoint_selection
from genshift.training import train as training

pytestmark = pytest.mark.usefixtures("quick")

NEWEST, AVERAGED = "images-000000000020.safetensors", "average/extractor.norm.weight"
CANDIDATE = "candidate-000000000008"
MOMENT, WEIGHT = "optimizer/all/0/exp_avg", "network/extractor/norm.weight"
COUNTER = "network/extractor/norm.num_batches_tracked"


def words(domains, run):
    """The command that began `run`, and continues it."""
    flags = ["--source", domains[0], "--target", domains[1], "--images", 32, "--batch-source", 4, "--batch-target", 4]
    chosen = ["--precision", "float32", "--ema-half-life", 100, "--width", 8]
    return ["train", "dann-mnistm-svhn", *flags, *chosen, "--no-evaluate", "--out", run]


@pytest.fixture(scope="module")
def begun(domains, tmp_path_factory):
    """A run that stopped at 20 of 32 images, with a moving average and two checkpoints."""
    run = tmp_path_factory.mktemp("begun") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKS", 4)
        patch.setattr(files, "_sync", lambda path: None)
        preset = tiny.tiny("dann-mnistm-svhn", domains, ema_half_life=100, width=8, images=32)
        stopping = training.Settings(observers=[tiny.StopAt(16)])
        assert training.train(preset, run, evaluate.with_observers(RunFolder(run), preset, stopping)) is False
    assert [path.name for path in RunFolder(run).saved()][-1] == NEWEST
    return run


@pytest.fixture
def run(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "run")


def rewrite(path, change):
    """The checkpoint after `change(tensors, about)`."""
    held = checkpoint.load(path)
    change(held.tensors, held.about)
    checkpoint.save(path, Checkpoint(held.tensors, held.about))


def says(field, value):
    return lambda tensors, about: about.update({field: value})


def lacks(*prefixes):
    def change(tensors, about):
        for name in [name for name in tensors if name.startswith(prefixes)]:
            del tensors[name]

    return change


def holds(name, change):
    return lambda tensors, about: tensors.update({name: change(tensors.get(name))})


def moved(old, new):
    return lambda tensors, about: tensors.update({new: tensors.pop(old)})


def both(*changes):
    return lambda tensors, about: [change(tensors, about) for change in changes]


def one_number(tensor):
    return tensor.flatten()[:1].clone()


def with_nan(tensor):
    tensor.view(-1)[0] = float("nan")
    return tensor


# Of what an optimizer holds and of what is said: these are read where training continues, and there alone.
CONTINUING = {
    "moment-of-one-number": (holds(MOMENT, one_number), f"{MOMENT} is float32 [1] there and should be float32 ["),
    "moment-int64": (holds(MOMENT, torch.Tensor.long), f"{MOMENT} is int64 "),
    "moment-complex": (holds(MOMENT, lambda t: t.to(torch.complex64)), f"{MOMENT} is complex64 "),
    "moment-float64": (holds(MOMENT, torch.Tensor.double), f"{MOMENT} is float64 "),
    "moment-nan": (holds(MOMENT, with_nan), f"holds NaN or infinity in {MOMENT}"),
    "moment-absent": (lacks(MOMENT), f"{MOMENT} is absent there and should be float32"),
    "moment-of-no-kind": (holds("optimizer/all/0/momentum", lambda _: torch.zeros(3)), "/0/momentum is float32 [3]"),
    "step-of-two": (holds("optimizer/all/0/step", lambda _: torch.ones(2)), "/0/step is float32 [2] there"),
    "step-infinite": (holds("optimizer/all/0/step", lambda t: t / 0), "holds NaN or infinity in optimizer/all/0/step"),
    "parameter-9999": (moved(MOMENT, "optimizer/all/9999/exp_avg"), "optimizer 'all' for "),
    "parameter-zzz": (holds("optimizer/all/zzz/exp_avg", lambda _: torch.zeros(1)), "optimizer 'all' for "),
    "parameter-minus-1": (both(lacks("optimizer/all/0/"), holds("optimizer/all/-1/step", lambda _: torch.ones(()))),
                          "optimizer/all/-1/step is float32 [] there and should be absent"),
    "no-parameter-0": (lacks("optimizer/all/0/"), "optimizer 'all' for "),
    "optimizer-zzz": (holds("optimizer/zzz/0/step", lambda _: torch.ones(())), "zzz/0/step is float32 []"),
    "no-optimizer": (lacks("optimizer/"), "optimizer 'all' for 0 of "),
    "no-optimizer-of-0.2": (both(lacks("optimizer/"), lambda _, about: about.pop("stepped")), "no optimizer's state"),
    "half-an-optimizer-of-0.2": (both(lacks("optimizer/all/0/"), lambda _, about: about.pop("stepped")), "'all' for "),
    "images-not-of-a-step": (says("images", 15), "says that its images is 15: expected the number in its name"),
    "best-text": (says("best", "0.5"), "best score is \"0.5\": expected a finite number"),
    "best-infinite": (says("best", float("inf")), "best score is Infinity"),
    "best-true": (says("best", True), "best score is true"),
    "no-best": (lambda _, about: about.pop("best"), "best score is"),
    "seconds-list": (says("seconds", [1.0]), "seconds is another kind of value: expected 0 or more"),
    "seconds-negative": (says("seconds", -1.0), "seconds is -1.0"),
    "no-cpu-seconds": (lambda _, about: about.pop("cpu_seconds"), "cpu_seconds is null"),
    "alarms-list": (says("alarms", ["x"]), "alarms is another kind of value"),
    "alarms-of-text": (says("alarms", {"x": "3"}), "alarms is another kind of value"),
    "stepped-of-text": (says("stepped", {"all": "3"}), "stepped is another kind of value"),
    "cleaned-text": (says("cleaned", "yes"), "cleaned is \"yes\": expected true or false"),
    "cleaned-half-way": (both(says("cleaned", True), lacks("optimizer/", "average/")), "finished runs alone"),
}  # fmt: skip
# Of what a run answers with: these are refused by everything that opens it too.
OPENING = {
    "images-negative": (says("images", -16), "images is -16: expected a whole number from 0 to 32"),
    "images-10-to-the-30": (says("images", 10**30), "images is 1000000000000000000000000000000: expected"),
    "images-of-another": (says("images", 12), "images is 12: expected the number in its name"),
    "images-true": (says("images", True), "images is true"),
    "images-a-float": (says("images", 20.0), "images is 20.0"),
    "no-images": (lambda _, about: about.clear(), "images is null"),
    "no-average": (lacks("average/"), "is absent there and should be float32"),
    "part-of-an-average": (lacks("average/extractor"), "is absent there and should be float32"),
    "average-of-another-shape": (holds(AVERAGED, one_number), f"{AVERAGED} is float32 [1] there"),
    "average-nan": (holds(AVERAGED, with_nan), f"holds NaN or infinity in {AVERAGED}"),
    "weight-int64": (holds(WEIGHT, torch.Tensor.long), f"{WEIGHT} is int64"),
    "weight-float16": (holds(WEIGHT, torch.Tensor.half), f"{WEIGHT} is float16"),
    "weight-infinite": (holds(WEIGHT, lambda t: t / 0), f"holds NaN or infinity in {WEIGHT}"),
    "weight-absent": (lacks(WEIGHT), f"{WEIGHT} is absent there"),
    "counter-a-float": (holds(COUNTER, torch.Tensor.float), f"{COUNTER} is float32 [] there and should be int64 []"),
    "a-network-more": (holds("network/zzz/0.weight", lambda _: torch.zeros(2)), "network/zzz/0.weight is float32 [2]"),
    "what-no-run-has": (holds("zzz", lambda _: torch.zeros(2)), "zzz is float32 [2] there and should be absent"),
    "nothing": (lacks("network/", "average/"), "is absent there and should be"),
}  # fmt: skip


@pytest.mark.parametrize(("lie", "sentence"), [*CONTINUING.values(), *OPENING.values()], ids=[*CONTINUING, *OPENING])
def test_a_run_does_not_continue_from_a_lie(lie, sentence, run, domains, capfd):
    newest = run / "checkpoints" / NEWEST
    rewrite(newest, lie)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    said = tiny.refused(capfd, *words(domains, run), last_line=True)
    assert sentence in said and str(newest) in said and "delete" not in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    if sentence in [sentence for _, sentence in OPENING.values()]:
        with pytest.raises(Refusal, match=NEWEST) as caught:
            open_run(run, "last")
        assert sentence in str(caught.value)


def test_a_crash_of_the_process_has_become_a_sentence(run, domains):
    """A fused optimizer walks through memory: from one number it walked on until the process died."""
    rewrite(
        run / "checkpoints" / NEWEST, both(holds(MOMENT, one_number), holds("optimizer/all/0/exp_avg_sq", one_number))
    )
    assert f"{MOMENT} is float32 [1] there" in tiny.refused_in_process(*words(domains, run), last_line=True)


def test_what_was_not_changed_continues(run, domains, tmp_path, capfd):
    """Also as 0.2 wrote it, and to the bits of a run that was not disturbed."""
    rewrite(run / "checkpoints" / NEWEST, lambda _, about: about.pop("stepped", None))
    for out in (run, tmp_path / "whole"):
        tiny.told(capfd, *words(domains, out))
    assert tiny.different(tiny.last(run), tiny.last(tmp_path / "whole")) == []


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", "null", DEEP, '{"images": 1' + "0" * 6000 + "}", '{"images": NaN}'], ids=range(7)
)
def test_a_description_that_is_none(text, run, domains, tmp_path, capfd):
    path = run / "checkpoints" / NEWEST
    save_file(checkpoint.load(path).tensors, path, metadata={"genshift": text})
    argv = ["predict", run, domains[1], "--out", tmp_path / "labels.csv"]
    for command in (words(domains, run), argv):
        assert NEWEST in tiny.refused(capfd, *command, last_line=True)


@pytest.mark.parametrize("name", ["images-zzz", "images-16", "images-", "images-00000000001６", "candidate-zzz"])
def test_a_name_without_a_number(name, run, domains, capfd):
    os.rename(run / "checkpoints" / NEWEST, run / "checkpoints" / f"{name}.safetensors")
    commands = [["select", run], words(domains, run)] if name.startswith("candidate") else [words(domains, run)]
    said = tiny.refused(capfd, *commands[0], last_line=True)
    assert f"{name}.safetensors is named after no number of images: expected 12 digits" in said


def test_a_checkpoint_from_after_the_end_or_between_two_steps(run, domains, capfd):
    for images, sentence in ((36, "expected a whole number from 0 to 32"), (22, "a multiple of the 4 of a step")):
        path = run / "checkpoints" / f"images-{images:012}.safetensors"
        shutil.copy(run / "checkpoints" / NEWEST, path)
        rewrite(path, says("images", images))
        assert sentence in tiny.refused(capfd, *words(domains, run), last_line=True)
        path.unlink()


# --- the other files that a run keeps -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("which", "name", "lie", "sentence"),
    [
        ("best", "best", holds(WEIGHT, with_nan), f"holds NaN or infinity in {WEIGHT}"),
        ("best", "best", says("images", 33), "images is 33: expected a whole number from 0 to 32"),
        ("best", "best", holds(AVERAGED, lambda _: torch.zeros(32)), f"{AVERAGED} is float32 [32] there"),
        (None, CANDIDATE, holds(WEIGHT, one_number), f"{WEIGHT} is float32 [1] there"),
        (None, CANDIDATE, says("images", 4), "images is 4: expected the number in its name"),
    ],
)
def test_a_checkpoint_that_answers(which, name, lie, sentence, run):
    """The best, and the one that was chosen."""
    RunFolder(run).write(
        "selection.json", {"rule": "last", "checkpoint": f"{CANDIDATE}.safetensors", "images": 8, "warnings": []}
    )
    rewrite(run / "checkpoints" / f"{name}.safetensors", lie)
    with pytest.raises(Refusal, match=re.escape(sentence)):
        open_run(run, which)


def test_what_select_keeps(run, domains, capfd):
    """Predictions of another shape, or none, are not taken for those of the candidates."""
    genshift.select(run)
    path, whole = run / checkpoint_selection.PREDICTIONS, (run / checkpoint_selection.PREDICTIONS).read_bytes()
    for lie in (lacks("said"), holds("said", one_number), holds("said", with_nan), holds("said", torch.Tensor.long)):
        path.write_bytes(whole)
        rewrite(path, lie)
        assert "said" in tiny.refused(capfd, "select", run)
    for lie in (torch.neg, lambda t: t * 2):
        path.write_bytes(whole)
        rewrite(path, holds("said", lie))
        assert f"{path} holds what are no probabilities" in tiny.refused(capfd, "select", run)
    path.write_bytes(whole)
    rewrite(path, says("of", 3))
    assert genshift.select(run)["run"] == str(run), "of other checkpoints: measured again"


def test_a_lie_is_not_cleaned_into_a_whole_checkpoint(run, domains, capfd):
    tiny.told(capfd, *words(domains, run))
    last = RunFolder(run).saved()[-1]
    rewrite(last, lacks("average/"))
    before = last.read_bytes()
    assert "is absent there" in tiny.refused(capfd, "clean", run) and last.read_bytes() == before


def test_a_generator_is_not_drawn_from_a_lie(faces, tmp_path, capfd):
    """A VAE and the mixture that it draws from."""
    preset = tiny.of_pictures("faces-vae", faces[16], size=16, width=8, latent=4, prior="mixture")
    settings = training.Settings(observers=[])
    options = EvaluationOptions(draw=False)
    assert tiny.train_and_evaluate(preset.replaced(images=16), tmp_path / "run", settings, options)
    prior, last = tmp_path / "run" / "prior.safetensors", RunFolder(tmp_path / "run").saved()[-1]
    draw = ["sample", tmp_path / "run", "--count", 2, "--out", tmp_path / "out"]
    lies = {
        prior: [lacks("means"), holds("means", one_number), holds("weights", lambda t: -t), holds("roots", with_nan)],
        last: [lacks("network/"), says("images", -16)],
    }
    for path, changes in lies.items():
        whole = path.read_bytes()
        for change in changes:
            rewrite(path, change)
            assert path.name in tiny.refused(capfd, *draw) and not (tmp_path / "out").exists()
            path.write_bytes(whole)
    tiny.told(capfd, *draw)
