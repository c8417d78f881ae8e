"""`genshift clean`: a finished run without what only continuing needs answers as before."""

import pytest
import tiny
from tiny import refused, told

import genshift
from genshift.runs.clean import size_of
from genshift.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("quick")


def words(domains, out, name="demo-dann"):
    """`genshift train` on two tiny domains, eight steps, with held-out images to choose a checkpoint by."""
    flags = ["--source", domains[0], "--target", domains[1], "--images", 32, "--batch-source", 4, "--batch-target", 4]
    return ["train", name, *flags, "--precision", "float32", "--validation", 0.25, "--out", out]


def answers(run, domains, capfd, out):
    """What a run predicts and embeds, to the byte."""
    told(capfd, "predict", run, domains[1], "--out", out / "labels.csv")
    told(capfd, "embed", run, domains[1], "--out", out / "features.npz")
    return [(out / name).read_bytes() for name in ("labels.csv", "features.npz")]


@pytest.mark.parametrize("average", [0, 100])
def test_an_adapted_run_answers_and_is_chosen_among_as_before(average, domains, tmp_path, capfd):
    run, folder = tmp_path / "run", RunFolder(tmp_path / "run")
    given = [*words(domains, run), "--ema-half-life", average]
    told(capfd, *given)
    chosen = genshift.select(run)  # first: what it chooses answers from then on
    before = answers(run, domains, capfd, tmp_path)
    size, newest = size_of(folder), folder.saved()[-1]
    said = told(capfd, "clean", run)
    assert folder.saved() == [newest] and not [name for name in tiny.last(run) if name.startswith("optimizer/")]
    freed = size - size_of(folder)
    assert freed > size / 4 and f"{freed / 2**20:,.1f} MiB freed" in said
    assert answers(run, domains, capfd, tmp_path) == before
    assert genshift.select(run) == chosen and len(chosen["candidates"]) > 1
    assert "oracle/target_test_accuracy" in told(capfd, "evaluate", run)
    # The same training command finds it finished; what it would have to continue from is gone.
    capfd.readouterr()
    assert genshift.cli.main.main([str(word) for word in given]) == 0
    said = capfd.readouterr()
    assert "is finished (32 images): nothing to train" in said.err and "oracle/target_test_accuracy" in said.out
    assert answers(run, domains, capfd, tmp_path) == before
    assert genshift.clean(run) == 0, "nothing is left to drop"


@pytest.mark.parametrize("name", ["faces-gan", "faces-vae", "digits-diffusion"])
def test_a_generator_draws_as_before(name, faces, tmp_path):
    width = {"digits-diffusion": 32}.get(name, 8)
    preset = tiny.of_pictures(name, faces[16], size=16, width=width, ema_half_life=20)
    own = {"faces-vae": {"prior": "normal"}, "digits-diffusion": tiny.SAMPLED_PLAINLY}.get(name, {})
    preset = preset.replaced(**own)
    assert tiny.train(preset, tmp_path / "run")
    before = [picture.tobytes() for picture in genshift.load(tmp_path / "run").sample(4, seed=1)]
    assert genshift.clean(tmp_path / "run") > 0
    assert [picture.tobytes() for picture in genshift.load(tmp_path / "run").sample(4, seed=1)] == before


def test_a_run_that_is_not_finished_is_refused_and_left(domains, tmp_path, capfd):
    run = tmp_path / "run"
    preset = tiny.tiny("demo-dann", domains)
    assert tiny.train(preset, run, observers=[tiny.StopAt(12)]) is False
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "is not trained to its end (16 of 24 images), and what would be dropped" in refused(capfd, "clean", run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert tiny.train(preset, run) is True
    assert "has no config.json: it is not a run folder" in refused(capfd, "clean", tmp_path)
