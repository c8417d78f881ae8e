"""SqueezeNet as we build it, held against what is published of it; where its weights come from."""

import hashlib
import os
from pathlib import Path

import pytest
import tiny
import torch
from data_server import serving
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from genshift.data import load
from genshift.errors import Refusal
from genshift.nets import pretrained
from genshift.nets.pretrained import PretrainedBackbone, read_weights, squeezenet_of
from genshift.nets.squeezenet import VERSIONS, SqueezeNet

ROOT = Path(os.environ.get("GENSHIFT_DATA") or Path(__file__).parents[2] / "shared" / "data")
WEIGHTS = ROOT / "weights" / "squeezenet1_0_imagenet.safetensors"


def weights_of(version, seed=3):
    """Random weights with a classifier, as a published file has one."""
    torch.manual_seed(seed)
    return SqueezeNet(version, 1000).state_dict()


@pytest.mark.parametrize(("version", "count"), [("squeezenet1_0", 1_248_424), ("squeezenet1_1", 1_235_496)])
def test_it_has_as_many_parameters_as_torchvision_documents(version, count):
    assert sum(p.numel() for p in SqueezeNet(version, 1000).parameters()) == count


@pytest.mark.parametrize(
    ("version", "sides"), [("squeezenet1_0", [109, 54, 27, 13]), ("squeezenet1_1", [111, 55, 27, 13])]
)
def test_maps_of_224_pixels_have_the_known_sides(version, sides):
    x, seen = torch.zeros(1, 3, 224, 224), []
    for layer in SqueezeNet(version).features:
        x = layer(x)
        seen += [x.shape[-1]] if x.shape[-1] not in seen else []
    assert seen == sides and x.shape[1] == 512


# The order of layers, by the names in torchvision's files: numbers are Fire modules, "pool" lies between.
ORDER = {
    "squeezenet1_0": (7, ["pool", 3, 4, 5, "pool", 7, 8, 9, 10, "pool", 12]),
    "squeezenet1_1": (3, ["pool", 3, 4, "pool", 6, 7, "pool", 9, 10, 11, 12]),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_it_computes_what_its_file_says_layer_by_layer(version):
    """The same tensors by name, through plain functions."""
    net, held = SqueezeNet(version, 1000).eval(), weights_of(version)
    net.load_state_dict(held)
    x = torch.randn(2, 3, 64, 64)

    def conv(x, name, **how):
        return F.relu(F.conv2d(x, held[f"{name}.weight"], held[f"{name}.bias"], **how))

    _, order = ORDER[version]
    y = conv(x, "features.0", stride=2)
    for place in order:
        if place == "pool":
            y = F.max_pool2d(y, 3, 2, ceil_mode=True)
            continue
        y = conv(y, f"features.{place}.squeeze")
        wide = conv(y, f"features.{place}.expand3x3", padding=1)
        y = torch.cat([conv(y, f"features.{place}.expand1x1"), wide], 1)
    torch.testing.assert_close(net(x), y.mean((2, 3)))
    torch.testing.assert_close(net.answer(x), conv(y, "classifier.1").mean((2, 3)))


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights on this machine")
def test_published_weights_know_photographs():
    """By ImageNet's numbers: tusker 101 and elephants 385, 386; sorrel 339; guitars 402 and 546."""
    net = SqueezeNet("squeezenet1_0", 1000).eval()
    net.load_state_dict(load_file(WEIGHTS))
    photos = load(ROOT / "pacs" / "photo", "train", size=224)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (pretrained.IMAGENET_MEAN, pretrained.IMAGENET_STD))
    for name, numbers in (("elephant", {101, 385, 386}), ("horse", {339}), ("guitar", {402, 546})):
        rows = (photos.labels == photos.classes.index(name)).nonzero().flatten()[:24]
        with torch.inference_mode():
            told = net.answer((photos.images[rows] / 255 - mean) / std).argmax(1).tolist()
        assert sum(number in numbers for number in told) >= 8, (name, told)


# --- as a backbone --------------------------------------------------------------------------------------------------


def test_its_pixels_are_its_own_in_any_rule_and_grey_is_repeated(tmp_path):
    save_file(weights_of("squeezenet1_1"), tmp_path / "w.safetensors")
    backbone = PretrainedBackbone("squeezenet1_1", 3, 32).eval()
    backbone.start_from(str(tmp_path / "w.safetensors"))
    p = torch.rand(4, 3, 32, 32)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (pretrained.IMAGENET_MEAN, pretrained.IMAGENET_STD))
    torch.testing.assert_close(backbone.raw((p - 0.5) / 0.5), backbone.net((p - mean) / std), rtol=1e-4, atol=1e-5)
    grey = PretrainedBackbone("squeezenet1_1", 1, 32).eval()
    grey.start_from(str(tmp_path / "w.safetensors"))
    one = p[:, :1]
    torch.testing.assert_close(
        grey.raw((one - 0.5) / 0.5), backbone.raw((one.expand(-1, 3, -1, -1) - 0.5) / 0.5), rtol=1e-4, atol=1e-5
    )
    assert "gain" not in backbone.state_dict()  # no part of what a checkpoint holds


def test_a_network_without_normalisation_gets_one_of_its_features():
    torch.manual_seed(0)
    backbone = PretrainedBackbone("squeezenet1_1", 3, 32).train()
    x = torch.rand(16, 3, 32, 32)
    y = backbone(x)
    live = backbone.raw(x).var(0) > 0.1
    torch.testing.assert_close(y.mean(0), torch.zeros(512), atol=1e-4, rtol=0)
    assert ((y.var(0, unbiased=False) - 1).abs()[live] < 0.02).all()
    apart = PretrainedBackbone("squeezenet1_1", 3, 32, apart=True)
    assert {"norm.source_mean", "norm.running_mean"} <= apart.state_dict().keys()


def test_the_version_is_told_by_the_file():
    assert [squeezenet_of(weights_of(version)) for version in VERSIONS] == list(VERSIONS)
    assert squeezenet_of({"features.0.weight": torch.zeros(64, 3, 11, 11)}) is None


def test_a_backbone_with_weights_learns_at_a_share_of_the_heads_rate(tmp_path):
    from genshift import presets
    from genshift.runs.trained_run import build_method

    def shares(**given):
        preset = presets.get("dann-usps-mnistm").replaced(backbone="squeezenet1_1", size=32, **given)
        groups = build_method(preset, 10, tiny.FLOAT32, 0).optimizers["all"].param_groups
        return {group.get("share", 1.0): sum(p.numel() for p in group["params"]) for group in groups}

    backbone = 1_235_496 - 513_000
    rest = shares(weights="w.pth")
    assert rest[0.1] == backbone and rest[1.0] > 512 * 10
    assert shares(weights="w.pth", backbone_rate=0.3)[0.3] == backbone
    assert shares() == {1.0: backbone + rest[1.0]}  # without weights all is new


def test_the_loop_steps_each_group_at_its_share(domains, tmp_path):
    """By SGD at a rate of nearly nothing for the backbone, the head alone moves."""
    save_file(weights_of("squeezenet1_1"), tmp_path / "w.safetensors")
    preset = tiny.tiny(
        "source-usps-mnistm", domains, backbone="squeezenet1_1", size=32, weights=str(tmp_path / "w.safetensors"),
        backbone_rate=1e-9, lr_warmup=0, ema_half_life=0, weight_decay=0.0,
    )  # fmt: skip
    assert tiny.train(preset, tmp_path / "run", images=8)
    last, first = tiny.last(tmp_path / "run"), weights_of("squeezenet1_1")
    key = "network/extractor/net.features.0.weight"
    torch.testing.assert_close(last[key], first["features.0.weight"], atol=1e-7, rtol=0)


# --- downloads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A server of a SqueezeNet 1.1 whose name tells its digest, as torchvision's do: address, manners, the file."""
    folder = tmp_path / "served"
    folder.mkdir()
    torch.save(weights_of("squeezenet1_1"), folder / "raw")
    told = hashlib.sha256((folder / "raw").read_bytes()).hexdigest()[:8]
    file = (folder / "raw").rename(folder / f"squeezenet1_1-{told}.pth")
    monkeypatch.setitem(pretrained.FILES, "squeezenet1_1", file.name)
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    with serving(folder) as (url, manners):
        monkeypatch.setattr(pretrained, "HOST", url)
        yield manners, file, tmp_path / "cache" / "backbones" / file.name


def test_weights_are_fetched_once_and_checked(published):
    manners, file, cached = published
    for _ in range(2):
        backbone = PretrainedBackbone("squeezenet1_1", 3, 32)
        backbone.start_from("download")
    assert len(manners.asked) == 1 and cached.read_bytes() == file.read_bytes()
    assert torch.equal(backbone.net.state_dict()["features.0.weight"], read_weights(file)["features.0.weight"])
    assert [path.name for path in cached.parent.iterdir()] == [file.name]


def test_other_bytes_are_thrown_away(published):
    manners, _, cached = published
    manners.wrong = True
    with pytest.raises(Refusal, match="not the published squeezenet1_1"):
        PretrainedBackbone("squeezenet1_1", 3, 32).start_from("download")
    assert not cached.exists() and not list((cached.parent / "unchecked").iterdir())
    manners.wrong = False
    PretrainedBackbone("squeezenet1_1", 3, 32).start_from("download")
    assert cached.is_file()


def test_a_host_without_them_is_named(published):
    manners, _, _ = published
    manners.status = 404
    with pytest.raises(Refusal, match="answered 404"):
        PretrainedBackbone("squeezenet1_1", 3, 32).start_from("download")


def test_the_published_names_tell_digests():
    for name, file in pretrained.FILES.items():
        version, _, told = file.removesuffix(".pth").partition("-")
        assert version == name and len(told) == 8 and int(told, 16)
