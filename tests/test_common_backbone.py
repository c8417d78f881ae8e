"""The common backbone, its statistics for each domain, the strong views, and what all methods on it owe."""

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from genshift import api, presets
from genshift.data.augment import Augment
from genshift.data.feed import Feed, StepRandom, TrainingSet
from genshift.data.strong import strong_view
from genshift.methods.base import FrozenBatchNormStats
from genshift.nets.backbone import WIDEST, Backbone, ConditionalAdversary
from genshift.nets.layers import DomainBatchNorm2d, in_domain
from genshift.runs.trained_run import build_method, preset_of

# --- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "channels", "width"), [(28, 3, 64), (32, 1, 16), (33, 3, 16), (64, 3, 16), (224, 1, 16)]
)
def test_the_backbone_takes_every_size(side, channels, width):
    net = Backbone(width, channels, side).eval()
    x = torch.rand(2, channels, side, side)
    assert net(x).shape == (2, 4 * width) and net.features == 4 * width
    assert max(net.first(x).shape[2:]) <= 32


def test_statistics_are_apart_by_domain_and_the_affine_part_is_shared():
    """Against two plain BatchNorm layers, one a domain."""
    torch.manual_seed(0)
    layer = DomainBatchNorm2d(4)
    plain = {"source": nn.BatchNorm2d(4), "target": nn.BatchNorm2d(4)}
    nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
    for each in plain.values():
        each.load_state_dict({**each.state_dict(), "weight": layer.weight.detach(), "bias": layer.bias.detach()})
    for step in range(3):
        for domain, shift in (("source", 3.0), ("target", -1.0)):
            x = torch.randn(5, 4, 3, 3) * (step + 1) + shift
            torch.testing.assert_close(in_domain(layer, domain)(x), plain[domain](x))
    torch.testing.assert_close(layer.source_mean, plain["source"].running_mean)
    torch.testing.assert_close(layer.running_var, plain["target"].running_var)
    x = torch.randn(5, 4, 3, 3)
    layer.eval()
    for domain, each in plain.items():
        torch.testing.assert_close(in_domain(layer, domain)(x), each.eval()(x))


def test_still_statistics_stay_while_the_batch_normalises():
    layer = nn.Sequential(nn.BatchNorm2d(2))
    before = {k: v.clone() for k, v in layer.state_dict().items() if "running" in k}
    with FrozenBatchNormStats(layer):
        y = layer(torch.randn(8, 2, 3, 3) + 5)
    assert y.mean().abs() < 1e-5
    assert all(torch.equal(layer.state_dict()[k], v) for k, v in before.items())
    layer(torch.randn(8, 2, 3, 3) + 5)
    assert not torch.equal(layer[0].running_mean, before["0.running_mean"])


def test_the_conditional_map_is_the_outer_product_or_estimates_its_inner_products():
    """CDAN, theorem 1: <T(f, g), T(f', g')> = <f, f'><g, g'>, on average where it is drawn at random."""
    torch.manual_seed(0)
    f, g = torch.rand(3, 8), torch.rand(3, 10).softmax(1)
    joint = ConditionalAdversary(8, 10).joint(f, g)
    assert np.allclose(joint.numpy(), np.einsum("nd,nk->ndk", f, g).reshape(3, -1))
    f, g = torch.rand(3, 64), torch.rand(3, 70).softmax(1)
    net = ConditionalAdversary(64, 70)
    joint = net.joint(f, g)
    assert joint.shape == (3, WIDEST) and "random_f" in net.state_dict()
    torch.testing.assert_close(joint @ joint.T, (f @ f.T) * (g @ g.T), rtol=0.3, atol=0.05)


# --- views ----------------------------------------------------------------------------------------------------------


def test_a_strong_view_is_a_function_of_draws_alone():
    x = torch.rand(6, 3, 28, 28) * 2 - 1
    whole = strong_view(x, StepRandom(1, 128, 6), 0.5, 0.5)
    assert torch.equal(whole, strong_view(x.clone(), StepRandom(1, 128, 6), 0.5, 0.5))
    assert (whole - x).abs().flatten(1).amax(1).min() > 0.2
    assert whole.min() >= -1 and whole.max() <= 1
    for other in (StepRandom(1, 192, 6), StepRandom(2, 128, 6)):
        assert not torch.equal(whole, strong_view(x, other, 0.5, 0.5))
    halves = [strong_view(x[3 * r : 3 * r + 3], StepRandom(1, 128, 6, r, 2), 0.5, 0.5) for r in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)
    rows = torch.tensor([1, 4])
    assert torch.equal(strong_view(x, StepRandom(1, 128, 6), 0.5, 0.5, rows), whole[rows])


def test_strong_views_invert_and_cut_some():
    """A bright bar on black: its polarity turns in about a quarter, and holes are of mid-grey."""
    x = torch.zeros(400, 1, 28, 28)
    x[:, :, 10:18, 4:24] = 1
    y = strong_view(x, StepRandom(0, 0, 400), 0.0, 1.0)
    dark = y[:, 0, 11:17, 8:20].mean((1, 2)) < y[:, 0, [0, 27]].mean((1, 2))
    assert 0.15 < dark.float().mean() < 0.35
    assert 0.02 < (y == 0.5).float().mean() < 0.2


def test_the_feed_shows_a_share_of_images_strongly():
    images = tiny.digits(200, 0)
    rule = build_method(presets.get("source-usps-mnistm"), 10, tiny.FLOAT32, 0).rule

    def batch(strong):
        return Feed({"source": TrainingSet(images, 100)}, rule, tiny.FLOAT32, 0, augment=Augment(strong=strong)).at(
            100
        )["source"]

    plain, some = batch(0.0), batch(0.3)
    assert plain.weak_view is None and torch.equal(plain.weak, plain.x) and torch.equal(some.weak, plain.x)
    changed = (some.x != plain.x).flatten(1).any(1)
    assert torch.equal(changed, some.draws.uniform("strong") < 0.3)
    assert torch.equal(some.x[changed], strong_view(plain.x, plain.draws, 0.5, 0.5)[changed])


# --- presets --------------------------------------------------------------------------------------------------------


def test_presets_differ_in_the_method_alone_and_read_back():
    """Every option that all methods have is the same, but for those that say what the method is."""
    own = {"adversary", "lam", "lam_schedule", "statistics", "ema_half_life", "strong", "pretrain", "lr", "select"}
    own |= {"batch_source", "batch_target"}  # AdaMatch's
    own |= {"images"}  # of self-training, whose steps are rounds
    common = presets.get("source-usps-mnistm").options()
    for role in presets.METHODS:
        preset = presets.get(f"{role}-usps-mnistm")
        assert {k: v for k, v in preset.options().items() if k in common and k not in own} == {
            k: v for k, v in common.items() if k not in own
        }
        changed = preset.replaced(lr=0.5)
        stored = {
            "family": preset.family, "name": preset.name, "study": preset.study, "role": role,
            "networks": preset.networks, "fields": changed.options(), "origins": {}, "published": {},
        }  # fmt: skip
        again = preset_of({"preset": stored})
        assert type(again) is type(preset) and again.options() == changed.options()


@pytest.mark.parametrize("role", presets.METHODS)
def test_show_prints_every_network_that_images_pass(role):
    shown = api.show(f"{role}-usps-mnistm")
    assert shown["networks"]["Backbone"]["parameters"] > 1_000_000 and shown["gflop_per_image_forward"] > 0.01
    assert any("Adversary" in name for name in shown["networks"]) == presets.METHODS[role].adversarial
    assert shown["options"]["width"] == {"value": 64, "origin": "ours"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("coral-usps-mnistm", "--adversary", "reversal"), "takes no --adversary reversal"),
        (("adabn-usps-mnistm", "--statistics", "mixed"), "takes no --statistics mixed: own"),
        (("hw3-dann-usps-mnistm", "--statistics", "own"), "no statistics for each domain"),
        (("shot-usps-mnistm", "--pretrain", "0"), "above 0 and below 1, not 0.0"),
        (("adamatch-usps-mnistm", "--threshold", "1.5"), "at most 1, not 1.5"),
        (("adamatch-usps-mnistm", "--temperature", "2"), "--temperature"),
    ],
)
def test_what_does_not_go_together_is_refused(words, sentence, capfd):
    assert sentence in tiny.refused(capfd, "show", *words)
