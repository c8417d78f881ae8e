"""Whether information is maximised on the target: two short trainings, and what their neighbours say of them."""

import json

import pytest
import tiny
import torch

from genshift import api
from genshift.metrics.neighbour_votes import neighbour_votes
from genshift.runs.folder import RunFolder
from genshift.selection import information_trial
from genshift.selection.information_trial import decided
from genshift.training.train import Settings

SMALL = {"batch_source": 4, "batch_target": 4, "precision": "float32", "width": 4, "augment": "given"}


def clusters(split):
    """Two clusters of a hundred pictures each; of one classifier `split` of the second is taken for the first."""
    generator = torch.Generator().manual_seed(0)
    true = torch.arange(2).repeat_interleave(100)
    features = torch.randn(200, 8, generator=generator) / 4 + 3 * torch.eye(8)[true]
    other = true.clone()
    other[100 : 100 + split] = 0
    return true, other, features


def test_neighbours_are_with_the_classifier_that_splits_no_cluster():
    true, other, features = clusters(30)
    assert neighbour_votes((true, other), (features, features)) == (30, 30, 0)
    assert neighbour_votes((other, true), (features, features)) == (30, 0, 30)


def test_neighbours_may_be_with_neither_and_say_nothing_where_all_agree():
    true, _, features = clusters(30)
    assert neighbour_votes((true, true), (features, features)) == (0, 0, 0)
    third = torch.full_like(true, 2)
    first, second = true.clone(), true.clone()
    first[:10], second[:10] = 1, third[:10]
    assert neighbour_votes((first, second), (features, features)) == (10, 0, 0)
    nowhere = neighbour_votes((true[:4], 1 - true[:4]), (features[:4], features[:4]))
    assert nowhere == (4, 0, 0), "they agree on nothing"


@pytest.fixture
def trained(domains, tmp_path, monkeypatch):
    """A training of 200 images by the verb, whose trials have 20 each: called with the run's name and observers."""
    monkeypatch.setattr(information_trial, "FEWEST", 20)
    sets = {"source": domains[0], "target": domains[1]}

    def train(name, *observers, **options):
        options = {**SMALL, **sets, "images": 200, "validation": 0.2, **options}
        return api.train("adapt", tmp_path / name, evaluate=False, threads=1, observers=observers, **options)

    return train


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("votes", [(30, 1, 29), (30, 16, 14)])
def test_trials_are_inside_the_budget_and_what_they_say_stands_in_config_json(trained, monkeypatch, capfd, votes):
    """Far more of the votes are needed, not a few more."""
    monkeypatch.setattr(information_trial, "neighbour_votes", lambda said, features: votes)
    run = trained("run")
    used = votes[2] > 20
    config = run.config
    assert config["images"] == 160 and config["preset"]["fields"]["images"] == 200
    assert config["preset"]["fields"]["information"] == float(used)
    assert config["preset"]["origins"]["information"] == "measured by a short training"
    told = config["information"]
    assert (told["used"], told["images"], told["differ"], told["votes_with"]) == (used, 20, 30, votes[2])
    assert told["why"] in capfd.readouterr().err and f"is {'' if used else 'not '}used" in told["why"]
    assert run.finished and not (run.path / "trials").exists()
    assert trained("run").finished, "the same command finds it finished"


@pytest.mark.usefixtures("quick")
def test_a_training_that_is_stopped_anywhere_decides_and_ends_alike(trained, domains, tmp_path, monkeypatch):
    whole = trained("whole")
    # In the second trial, and in the run itself.
    real, stopped = information_trial.train, []

    def stop(preset, out, settings):
        if preset.information and not stopped:
            stopped.append(out)
            settings = Settings(seed=settings.seed, threads=1, keep=1, checks=4, observers=[tiny.StopAt(10)])
        return real(preset, out, settings)

    monkeypatch.setattr(information_trial, "train", stop)
    run = trained("run")
    assert stopped and not run.finished and not run.folder.exists() and (tmp_path / "run" / "trials").is_dir()
    assert not trained("run", tiny.StopAt(70)).finished
    assert trained("run").finished
    assert tiny.different(tiny.last(whole.path), tiny.last(run.path)) == []
    assert run.config["information"] == whole.config["information"]


@pytest.mark.usefixtures("quick")
def test_nothing_is_tried_where_it_is_given_or_the_budget_is_small(trained, domains, tmp_path, monkeypatch, capfd):
    assert "information" not in trained("given", information=0.5).config
    assert "information" not in trained("off", try_information="off").config
    monkeypatch.setattr(information_trial, "FEWEST", 21)
    config = json.loads((trained("small").path / "config.json").read_text())
    assert config["images"] == 200 and "information" not in config
    assert "a tenth of the budget is 20 images, and a trial takes 21" in capfd.readouterr().err
    other = tiny.tiny("dann-mnistm-usps", domains)
    assert decided(other, RunFolder(tmp_path / "none"), Settings()) == (other, Settings())
