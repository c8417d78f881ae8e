"""What the studio's page can ask for: each action answers as the command does that it stands for, and reads and writes
nothing else."""

import base64
import csv
import shutil
import typing

import msgspec
import pytest
import tiny
import torch
from PIL import Image
from studio_runs import FAMILIES, in_base64, pixels, told, tree, write_runs

import genshift
from genshift.data import load as load_set
from genshift.errors import Refusal
from genshift.evaluation.labels import read_plan
from genshift.methods.vae import attribute_direction
from genshift.metrics.calibration import at_temperature, temperature
from genshift.runs import files
from genshift.studio.actions import ACTIONS, answer
from genshift.studio.latents import truncated
from genshift.studio.pictures import MOST_BYTES, MOST_PIXELS
from genshift.studio.workshop import Workshop


@pytest.fixture(scope="module")
def runs(tmp_path_factory, domains, faces):
    root = tmp_path_factory.mktemp("studio") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        tiny.be_quick(patch.setattr)
        return write_runs(root, domains, faces[16])


@pytest.fixture(scope="module")
def workshop(runs):
    return Workshop([runs])


@pytest.fixture
def own(runs, tmp_path):
    """A workshop of copies, into which a test may write."""
    root = tmp_path / "runs"
    shutil.copytree(runs, root)
    return Workshop([root])


def near(one, other):
    """Whether two pictures differ by rounding alone."""
    return (one.int() - other.int()).abs().max().item() <= 1


# --- diffusion ------------------------------------------------------------------------------------------------------


def test_a_diffusion_run_is_drawn_as_sample_draws_it(workshop, runs):
    sampling = {"sampler": "dpm++2m", "steps": 4, "guide": "unconditional", "guidance": 2}
    lines = told(workshop, "draw", run="diffusion", seed=3, count=2, sampling=sampling)
    *states, last = lines
    assert [state["done"] for state in states] == [0, 1, 2, 3, 4]
    assert last["words"].startswith("dpm++2m in 4 steps") and "guidance 2 " in last["words"]
    drawn = genshift.load(runs / "diffusion").sample(2, seed=3, **{**sampling, "guidance": 2.0})
    for shown, sampled in zip(states[-1]["predicted"], drawn, strict=True):
        assert near(pixels(shown), pixels("," + in_base64(sampled)))


def test_two_settings_begin_with_the_same_noise(workshop):
    first, second = (
        told(workshop, "draw", run="diffusion", seed=5, label=1, sampling={"steps": steps, "guide": "unconditional"})
        for steps in (2, 5)
    )
    assert first[0]["noisy"] == second[0]["noisy"] and len(first) != len(second)
    other = told(workshop, "draw", run="diffusion", seed=6, label=1, sampling={"steps": 2, "guide": "unconditional"})
    assert other[0]["noisy"] != first[0]["noisy"]


def test_a_run_without_an_early_state_offers_another_guide(own):
    """The preset guides by it."""
    run = own.path("diffusion")
    (run / "checkpoints" / "weak.safetensors").unlink(missing_ok=True)
    shown = {one["name"]: one["value"] for one in told(own, "about", run="diffusion")["controls"]}
    assert shown["guide"] == "unconditional" and own.open("diffusion").preset.guide == "both"
    assert "without a label" in told(own, "draw", run="diffusion")[-1]["words"]


def test_a_picture_without_a_label_is_drawn_unguided(workshop):
    *_, last = told(workshop, "draw", run="diffusion", label=-1, sampling={"steps": 2, "guide": "unconditional"})
    assert "without guidance" in last["words"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sampling": {"steps": 5000}}, "At most 1,000 whole steps"),
        ({"sampling": {"steps": 0}}, "--steps must be 1 or more"),
        ({"sampling": {"step": 5}}, "did you mean 'steps'"),
        ({"sampling": {"sampler": "ddmp"}}, "ddmp"),
        ({"label": 10}, "no class number 10"),
        ({"count": 17}, "<= 16"),
        ({"seed": -1}, ">= 0"),
    ],
)
def test_a_drawing_that_cannot_be_is_refused(workshop, asked, said):
    with pytest.raises(Refusal, match=said):
        told(workshop, "draw", run="diffusion", **asked)


def test_the_sweeps_points_hold_how_they_were_drawn(own):
    path = own.path("diffusion") / "sweep.json"
    assert told(own, "sweep", run="diffusion")["charts"] == []
    sampling = {"sampler": "unipc", "steps": 4, "guide": "unconditional", "guidance": 2.0, "guidance_from": 0.0}
    row = {"axis": "guidance", "setting": "2", "sampling": {**sampling, "guidance_to": 1.0}, "accuracy": 0.5}
    row |= {"accuracy_error": 0.1, "frechet": 3.0, "floor": 0.5, "evaluations": 8, "seconds_per_image": 0.1, "n": 10}
    files.write_json(path, {"images": 24, "features": "c", "reference": "r", "n": 10, "rows": [row]})
    (chart,) = told(own, "sweep", run="diffusion")["charts"]
    assert chart["title"] == "guidance strength" and chart["floor"] == 0.5
    point = chart["lines"][0]["points"][0]
    assert (point["x"], point["accuracy"], point["frechet"]) == (2.0, 0.5, 3.0)
    assert told(own, "draw", run="diffusion", sampling=point["sampling"])[-1]["words"].startswith("unipc in 4 steps")


# --- VAEs and GANs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["vae", "gan"])
def test_a_seed_is_what_sample_draws(workshop, runs, run):
    found = told(workshop, "latent", run=run, seed=7)
    (sampled,) = genshift.load(runs / run).sample(1, seed=7)
    assert near(pixels(found["picture"]), pixels("," + in_base64(sampled))) and len(found["latent"]) == 4


@pytest.mark.parametrize("run", ["vae", "gan"])
def test_a_walk_ends_where_it_is_told_to(workshop, run):
    start, end = (told(workshop, "latent", run=run, seed=seed) for seed in (1, 2))
    pictures = told(workshop, "walk", run=run, start=start["latent"], end=end["latent"], steps=5)["pictures"]
    assert len(pictures) == 5
    assert near(pixels(pictures[0]), pixels(start["picture"])) and near(pixels(pictures[-1]), pixels(end["picture"]))
    assert not near(pixels(pictures[0]), pixels(pictures[-1]))


def test_truncation_keeps_within_the_threshold_and_leaves_a_wide_one_alone(workshop):
    latent = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    cut = truncated(latent, 0.5)
    assert cut.abs().max() <= 0.5 and cut.std() < latent.std() / 2
    assert torch.equal(cut.argsort(), latent.argsort()), "each number keeps its place in the order"
    inner = latent[latent.abs() < 3]
    torch.testing.assert_close(truncated(inner, 4.0), inner, atol=0.02, rtol=0.02)
    asked = told(workshop, "latent", run="gan", seed=1, truncation=0.3)["latent"]
    assert max(map(abs, asked)) <= 0.3


def test_own_pictures_are_reconstructed(workshop, runs, faces):
    picture = load_set(faces[16], "test", size=16).images[0]
    found = told(workshop, "encode", run="vae", picture=in_base64(picture))
    model = genshift.load(runs / "vae")
    assert torch.equal(pixels(found["picture"]), picture)
    assert near(pixels(found["decoded"]), pixels("," + in_base64(model.reconstruct(picture))))
    torch.testing.assert_close(
        torch.tensor(found["latent"]), torch.from_numpy(model.embed(picture)), atol=1e-5, rtol=1e-4
    )
    assert 0 < found["psnr"] < 60
    same = told(workshop, "move", run="vae", latent=found["latent"])
    assert near(pixels(same["picture"]), pixels(found["decoded"]))


def test_sliders_move_along_attributes_and_principal_directions(workshop, runs, faces):
    named = told(workshop, "directions", run="vae")
    assert [one["name"] for one in named[:3]] == ["Red", "Green", "Blue"]
    assert {one["kind"] for one in named} == {"attribute", "principal"} and len(named) == 3 + 4
    start = told(workshop, "latent", run="vae", seed=0)["latent"]
    moved = told(workshop, "move", run="vae", latent=start, amounts={"Red": 2.0})["latent"]
    opened = workshop.open("vae")
    trained = opened.training_pictures
    direction = attribute_direction(opened.model.vae().embed(trained.images), trained.attribute("Red"))
    torch.testing.assert_close(torch.tensor(moved), torch.tensor(start) + 2 * direction, atol=1e-5, rtol=1e-4)
    # A step along a principal direction is a standard deviation along it, the first the largest.
    steps = [
        torch.tensor(told(workshop, "move", run="vae", latent=start, amounts={f"principal {n}": 1.0})["latent"])
        - torch.tensor(start)
        for n in (1, 2)
    ]
    latents = opened.model.vae().embed(trained.images)
    along = latents @ torch.nn.functional.normalize(steps[0], dim=0)
    torch.testing.assert_close(along.std(), steps[0].norm(), atol=1e-4, rtol=1e-3)
    assert steps[0].norm() >= steps[1].norm() and abs(float(steps[0] @ steps[1])) < 1e-4


def test_what_is_no_latent_vector_is_refused(workshop):
    for latent in ([1.0], [1.0] * 5):
        with pytest.raises(Refusal, match="has 4 numbers"):
            told(workshop, "move", run="vae", latent=latent)
    with pytest.raises(Refusal, match="no direction 'Teeth'"):
        told(workshop, "move", run="vae", latent=[0.0] * 4, amounts={"Teeth": 1.0})
    with pytest.raises(Refusal, match="reconstructs nothing"):
        told(workshop, "directions", run="gan")
    with pytest.raises(Refusal, match="decodes no latent vectors"):
        told(workshop, "latent", run="dann")


# --- classes --------------------------------------------------------------------------------------------------------


def test_an_own_picture_is_named_with_calibrated_confidence(workshop, runs, domains):
    opened = workshop.open("dann")
    held_out = opened.data.held_out
    picture = held_out.images[0]
    found = told(workshop, "classify", run="dann", picture=in_base64(picture))
    method = opened.model.run.method
    degrees = temperature(method.predict(held_out.images, "source"), held_out.labels)
    sure = at_temperature(method.predict(picture[None]), degrees)[0]
    assert found["temperature"] == pytest.approx(degrees)
    assert [one["class"] for one in found["answers"]] == [tiny.DIGITS[k] for k in sure.argsort(descending=True)]
    assert found["answers"][0]["share"] == pytest.approx(sure.max().item(), abs=1e-6)
    assert sum(one["share"] for one in found["answers"]) == pytest.approx(1)
    beside = found["source_only"]
    plain = genshift.load(runs / "source").predict(picture)
    assert beside["run"] == "source" and beside["answers"][0]["class"] == plain.label
    assert "source_only" not in told(workshop, "classify", run="classifier", picture=in_base64(picture))


def test_the_nearest_training_pictures_are_the_nearest(workshop):
    trained = workshop.open("classifier").training_pictures
    found = told(workshop, "classify", run="classifier", picture=in_base64(trained.images[5]))
    nearest = found["nearest"][0]
    assert torch.equal(pixels(nearest["picture"]), trained.images[5]) and nearest["distance"] == pytest.approx(
        0, abs=1e-6
    )
    assert nearest["label"] == tiny.DIGITS[trained.labels[5]]
    distances = [one["distance"] for one in found["nearest"]]
    assert distances == sorted(distances) and len(distances) == 8


def test_without_its_data_a_run_still_names_pictures(own, domains, tmp_path):
    """And says what is left out, and why."""
    moved = shutil.copytree(domains[0], tmp_path / "data")
    run = tmp_path / "runs" / "fresh"
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten_the_probe(patch.setattr)
        tiny.train(tiny.of_pictures("digits-classifier", moved, width=8), run)
    shutil.rmtree(moved)
    found = told(own, "classify", run="fresh", picture=in_base64(tiny.digits(1, 0).images[0]))
    assert found["answers"] and "nearest" not in found and found["temperature"] is None
    assert "not calibrated" in found["how"]
    assert any(note.startswith("No nearest training pictures") for note in found["notes"])
    with pytest.raises(Refusal, match="nothing to map"):
        told(own, "map", run="fresh", count=10)


def test_the_map_holds_each_domains_pictures_and_what_is_made_of_them(workshop, domains):
    found = told(workshop, "map", run="dann", count=40)
    test_parts = [load_set(path, "test", size=28) for path in domains]
    count = sum(map(len, test_parts))
    columns = ("x", "y", "label", "domain", "predicted", "confidence")
    assert {len(found[column]) for column in columns} == {count}
    assert found["domain"] == [0] * 20 + [1] * 20 and len(found["domains"]) == 2
    assert found["label"] == [label for part in test_parts for label in part.labels.tolist()]
    method = workshop.open("dann").model.run.method
    said = [
        method.predict(part.images, domain).argmax(1)
        for part, domain in zip(test_parts, ("source", "target"), strict=True)
    ]
    assert found["predicted"] == torch.cat(said).tolist()
    sheet, side = pixels(found["sheet"]), found["side"]
    assert sheet.shape[-1] == 7 * side
    tile = sheet[:, 3 * side : 4 * side, side : 2 * side].float()  # point 22: in the fourth row, the second
    assert (tile - test_parts[1].images[2].float()).abs().mean() < 30  # compressed
    laid = told(workshop, "map", run="dann", count=40, layout="tsne")
    assert laid["x"] != found["x"] and laid["predicted"] == found["predicted"]
    assert told(workshop, "map", run="classifier", count=10)["domain"] == [0] * 10


# --- the queue ------------------------------------------------------------------------------------------------------


def test_labels_that_are_saved_are_those_of_genshift_label(own, capfd, tmp_path):
    run = own.path("dann")
    before = tree(run)
    assert told(own, "queue", run="dann") == {"drawn": 0, "files": [], "lines": []}
    drawn = told(own, "queue-draw", run="dann", count=20)
    assert set(tree(run)) - set(before) - {"labels/plan.safetensors"} <= {".measuring.lock"}
    # The same plan as the command draws.
    tiny.told(capfd, "label", run, "--count", 20, "--out", tmp_path / "labels")
    assert read_plan(tmp_path / "labels" / "plan.safetensors").name == drawn["plan"]
    assert [one["place"] for one in drawn["pictures"]] == list(range(20)) and drawn["classes"] == list(tiny.DIGITS)
    # Names of a packed set are numbers, and its classes take turns.
    truth = [int(one["name"]) % 10 for one in drawn["pictures"]]
    answers = {place: {"label": label} for place, label in enumerate(truth)}
    answers[3], answers[4] = {"label": -1, "said": "none of these"}, {"label": -1, "said": "skipped"}
    saved = told(own, "queue-save", run="dann", plan=drawn["plan"], first=1, answers=answers)
    path = run / "labels" / saved["file"]
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image_name", "label", "answer", "plan"] and len(rows) == 21
    assert rows[1] == [drawn["pictures"][0]["name"], str(truth[0]), "", drawn["plan"]]
    assert rows[4][1:3] == ["", "none of these"] and rows[5][1:3] == ["", "skipped"]
    # The command reads it, and says the same.
    said = tiny.told(capfd, "evaluate", run, "--labels", path)
    assert saved["lines"][0] in said and "by 18 labels of 40" in saved["lines"][0]
    assert told(own, "queue", run="dann")["lines"] == [line for line in saved["lines"] if "would halve" not in line]
    # Saved once; more are drawn, and the interval is told anew.
    with pytest.raises(Refusal, match="saved already"):
        told(own, "queue-save", run="dann", plan=drawn["plan"], first=1, answers=answers)
    further = told(own, "queue-draw", run="dann", count=30)
    assert (further["first"], further["last"], len(further["pictures"])) == (21, 30, 10)
    answers = {place: {"label": int(one["name"]) % 10} for place, one in enumerate(further["pictures"])}
    with pytest.raises(Refusal, match="drawn meanwhile"):
        told(own, "queue-save", run="dann", plan=drawn["plan"], first=1, answers=answers)
    again = told(own, "queue-save", run="dann", plan=further["plan"], first=21, answers=answers)
    assert "by 28 labels of 40" in again["lines"][0]


def test_answers_that_name_nothing_are_refused_and_nothing_is_written(own):
    drawn = told(own, "queue-draw", run="dann", count=10)
    before = tree(own.path("dann"))
    for answers in ({10: {"label": 1}}, {0: {"label": 10}}, {0: {"label": 1, "said": "skipped"}}, {0: {"label": -1}}):
        with pytest.raises(Refusal, match="names no picture or no class"):
            told(own, "queue-save", run="dann", plan=drawn["plan"], first=1, answers=answers)
    with pytest.raises(Refusal, match="No picture was given a class"):
        told(own, "queue-save", run="dann", plan=drawn["plan"], first=1, answers={0: {"label": -1, "said": "skipped"}})
    assert tree(own.path("dann")) == before
    with pytest.raises(Refusal, match="has no target to label"):
        told(own, "queue-draw", run="classifier")


# --- a folder of runs -----------------------------------------------------------------------------------------------


def test_a_folder_shows_every_run_and_of_a_broken_one_its_sentence(workshop):
    rows = {row["name"]: row for row in told(workshop, "overview")["runs"]}
    assert set(rows) == {*FAMILIES, "broken"}
    assert "config.json" in rows["broken"]["error"] and all("error" not in rows[name] for name in FAMILIES)
    assert rows["dann"]["family"] == "adaptation" and rows["dann"]["state"] == "finished"
    kinds = {name: told(workshop, "about", run=name)["kind"] for name in FAMILIES}
    assert kinds == {**{name: name for name in FAMILIES}, "dann": "adaptation", "source": "adaptation"}
    with pytest.raises(Refusal, match=r"config\.json"):
        told(workshop, "about", run="broken")


def test_curves_are_those_of_metrics_jsonl(workshop, runs):
    found = told(workshop, "curves", runs=["dann", "broken", "gone"])
    logged = [(row["images"], row["train/loss_label"]) for row in tiny.rows(runs / "dann") if "train/loss_label" in row]
    shown = found["curves"]["dann"]["train/loss_label"]
    assert [x for x, _ in shown] == [x for x, _ in logged]
    assert [y for _, y in shown] == pytest.approx([y for _, y in logged], rel=1e-3)
    assert len(found["errors"]) == 1 and "gone" in found["errors"][0]  # broken has no curves yet


def test_runs_draw_of_the_same_seed(workshop, runs):
    drawn = {name: told(workshop, "same-seed", run=name, seed=2)["pictures"] for name in ("gan", "vae", "diffusion")}
    assert {len(pictures) for pictures in drawn.values()} == {8}
    sampled = genshift.load(runs / "gan").sample(8, seed=2)
    assert near(pixels(drawn["gan"][7]), pixels("," + in_base64(sampled[7])))
    assert told(workshop, "compare")["tables"]


def test_a_run_that_is_deleted_while_it_is_open(own):
    told(own, "latent", run="gan")
    shutil.rmtree(own.path("gan"))
    with pytest.raises(Refusal, match="no run 'gan'"):
        told(own, "latent", run="gan")
    assert told(own, "latent", run="vae") and "gan" not in {row["name"] for row in told(own, "overview")["runs"]}
    shutil.rmtree(own.path("vae") / "checkpoints")
    with pytest.raises(Refusal):
        told(own, "latent", run="vae")


def test_a_run_that_goes_on_is_opened_anew(own):
    before = own.open("gan")
    assert own.open("gan") is before
    (checkpoint,) = [path for path in (own.path("gan") / "checkpoints").glob("images-*")][-1:]
    checkpoint.touch()
    assert own.open("gan") is not before


# --- pictures and names from outside --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (base64.b64encode(b"this is a text file\n").decode(), "no picture that can be read"),
        (in_base64(Image.new("1", (10_000, 10_000))), f"10,000 × 10,000 pixels, and at most {MOST_PIXELS:,}"),
        (in_base64(tiny.digits(1, 0).images[0])[:200], "no picture that can be read"),
        ("not base64!", "did not arrive whole"),
        ("", "no picture that can be read"),
        (base64.b64encode(bytes(MOST_BYTES + 1)).decode(), "bytes: at most"),
    ],
    ids=["text", "100-megapixels", "cut short", "no base64", "nothing", "too many bytes"],
)
@pytest.mark.parametrize(("action", "run"), [("classify", "dann"), ("encode", "vae")])
def test_what_is_no_picture_is_refused_in_a_sentence(workshop, action, run, data, said):
    with pytest.raises(Refusal, match=said) as refused:
        told(workshop, action, run=run, picture=data)
    assert "\n" not in str(refused.value)


NAMES = [
    "../secret",
    "/etc/passwd",
    "..",
    ".",
    "",
    "dann/../../secret",
    "dann/labels",
    "\0",
    "~",
    "dann\\..",
    "%2e%2e/x",
]


def test_no_request_names_a_file(workshop, runs):
    """Every text of every request, one after the other, as a path that leads elsewhere: refused, or no name at all."""
    secret = runs.parent / "secret"
    secret.mkdir(exist_ok=True)
    shutil.copytree(runs / "dann", secret, dirs_exist_ok=True)  # a run that was not given
    whole = {
        "run": "vae", "runs": ["dann"], "picture": in_base64(tiny.digits(1, 0).images[0]), "latent": [0.0] * 4,
        "start": [0.0] * 4, "end": [0.0] * 4, "plan": "x", "first": 1, "answers": {},
    }  # fmt: skip
    tried = 0
    for action, (form, _) in ACTIONS.items():
        kinds = typing.get_type_hints(form)
        needed = {name: whole[name] for name in kinds if name in whole}
        for field in kinds:
            for name in [*NAMES, str(secret)]:
                if field in ("run", "plan", "picture", "layout"):
                    asked = {**needed, field: name}
                elif field == "runs":
                    asked = {**needed, field: [name]}
                elif field in ("sampling", "amounts", "answers"):
                    asked = {**needed, field: {name: name if field == "sampling" else 1.0}}
                else:
                    continue
                asked["run" if field != "run" and "run" in kinds else field] = asked.get("run", asked[field])
                tried += 1
                if action == "curves":
                    found = told(workshop, action, **asked)
                    assert not found["curves"] and len(found["errors"]) == 1
                    continue
                with pytest.raises(Refusal):
                    told(workshop, action, **asked)
    assert tried > 150


def test_a_request_in_another_form_is_refused(workshop):
    for body in (b"", b"{", b"[]", b'{"run": 3}', b'{"run": "dann", "path": "/etc"}', b"\xff"):
        with pytest.raises(Refusal, match="is not what the page sends"):
            answer(workshop, "sweep", body)
    with pytest.raises(Refusal, match="no action 'swep': did you mean 'sweep'"):
        answer(workshop, "swep", b"{}")
    assert all(issubclass(action.form, msgspec.Struct) for action in ACTIONS.values())


def test_only_saving_writes_into_a_run(own):
    """Every other action leaves the folders as they are."""
    root = own.places[0]
    before = tree(root)
    picture = in_base64(tiny.digits(1, 0, side=16).images[0])
    for name in FAMILIES:
        told(own, "about", run=name)
    told(own, "overview")
    told(own, "compare")
    told(own, "curves", runs=list(FAMILIES))
    told(own, "draw", run="diffusion", sampling={"steps": 2, "guide": "unconditional"})
    told(own, "encode", run="vae", picture=picture)
    told(own, "directions", run="vae")
    told(own, "latent", run="gan", seed=1, truncation=1.0)
    told(own, "same-seed", run="gan")
    told(own, "classify", run="dann", picture=picture)
    told(own, "map", run="dann", count=10)
    told(own, "queue", run="dann")
    assert tree(root) == before
