"""The seams to timm and torchvision, with modules that have their functions' names and arguments in their places."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import tiny
import torch
from safetensors.torch import save_file
from tiny import refused
from torch import nn

from genshift import presets
from genshift.nets.pretrained import IMAGENET_MEAN, IMAGENET_STD, PretrainedBackbone
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run, preset_of

pytestmark = pytest.mark.usefixtures("quick")


class Small(nn.Module):
    """As timm's models: pooled features without a classifier where `num_classes` is 0; whole squares of 4 alone."""

    def __init__(self, channels, classes):
        super().__init__()
        self.num_features = 99  # timm's own word is not always that of its output
        self.conv1, self.bn1 = nn.Conv2d(channels, 6, 4, stride=4), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, classes) if classes else nn.Identity()

    def forward(self, x):
        assert x.shape[-1] % 4 == 0, f"Input size {x.shape[-1]} doesn't fit"
        return self.fc(self.bn1(self.conv1(x)).relu().mean((2, 3)))


def fetched(channels=3):
    torch.manual_seed(7)
    return Small(channels, 5)


@pytest.fixture
def timm(monkeypatch):
    def create_model(name, pretrained=False, num_classes=1000, in_chans=3):
        net = Small(in_chans, num_classes)
        if pretrained and name == "small.web":
            net.load_state_dict({k: v for k, v in fetched(in_chans).state_dict().items() if "fc" not in k})
        elif pretrained:
            raise RuntimeError(f"No pretrained weights exist for {name}.")
        return net

    module = ModuleType("timm")
    module.create_model, module.list_models = create_model, lambda: ["small", "small.web"]
    module.is_model = lambda name: name in module.list_models()
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("adapt", "none"),
        ("adapt", "model.safetensors"),
        ("adapt", "model.pth"),
        ("adapt", "download"),
        ("adda-usps-mnistm", "model.safetensors"),
    ],
)
def test_a_run_starts_from_the_weights_that_were_asked_for_and_does_not_need_them_again(
    name, weights, domains, tmp_path
):
    file = tmp_path / weights
    if file.suffix == ".pth":
        torch.save({"state_dict": fetched().state_dict()}, file)
    elif file.suffix:
        save_file(fetched().state_dict(), file)
    named = {"backbone": "timm:small.web", "weights": str(file) if file.suffix else weights}
    still = {"lr": 1e-9, "pretrain_lr": 1e-9, "lr_warmup": 0, "ema_half_life": 0, "weight_decay": 0.0}
    preset = tiny.tiny(name, domains, **still, **named)
    assert tiny.train(preset, tmp_path / "run", observers=[tiny.StopAt(4)]) is False
    file.unlink(missing_ok=True)
    assert tiny.train(preset, tmp_path / "run") is True
    found = tiny.last(tmp_path / "run")[KEY]
    assert torch.allclose(found, fetched().conv1.weight, atol=1e-6) is (weights != "none")
    method = open_run(RunFolder(tmp_path / "run")).method
    assert method.embed(tiny.digits(3, 0, side=preset.size).images).shape == (3, 6)


KEY = "network/extractor/net.conv1.weight"


@pytest.mark.usefixtures("timm")
def test_other_methods_take_it_with_statistics_for_each_domain_too(domains, tmp_path, capfd):
    preset = tiny.tiny("shot-usps-mnistm", domains, backbone="timm:small")
    assert tiny.train(preset, tmp_path / "run", images=8)
    # Its BatchNorm keeps statistics for each domain where a method's paper does.
    preset = tiny.tiny("mcc-usps-mnistm", domains, backbone="timm:small")
    assert tiny.train(preset, tmp_path / "apart", images=8)
    held = tiny.last(tmp_path / "apart")
    for layer in ("net.bn1", "norm"):
        own, target = (held[f"network/extractor/{layer}.{kind}_mean"] for kind in ("source", "running"))
        assert not torch.equal(own, target) and not torch.equal(own, torch.zeros_like(own))


@pytest.mark.usefixtures("timm")
def test_models_and_weights_that_do_not_fit_are_refused_in_a_sentence(domains, tmp_path, capfd):
    small = ("show", "adapt", "--backbone")
    assert "did you mean 'small'" in refused(capfd, *small, "timm:smal")
    assert "takes no pictures of 30 px (Input size 30" in refused(capfd, *small, "timm:small", "--size", 30)
    said = refused(capfd, *small, "resnet18")
    assert "takes residual, squeezenet1_0, squeezenet1_1, torchvision:NAME or timm:NAME" in said
    assert "for a pretrained model: name it" in refused(capfd, "show", "adamatch-usps-mnistm", "--weights", "x.pth")
    source, target = domains
    words = ("train", "adamatch", "--source", source, "--target", target, "--backbone", "timm:small", "--images", 4)
    words = (*words, "--out", tmp_path / "run", "--weights")
    assert "There is no file x.pth" in refused(capfd, *words, "x.pth")
    save_file({"conv1.weight": torch.zeros(6, 1, 4, 4)}, tmp_path / "other.safetensors")
    said = refused(capfd, *words, tmp_path / "other.safetensors")
    assert "are not those of timm:small for 3 channel(s): 6 of 7 tensors" in said and "'conv1.weight' first" in said
    torch.save({"state_dict": presets.get("adapt")}, tmp_path / "code.pth")
    assert "damaged or holds more than tensors" in refused(capfd, *words, tmp_path / "code.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    assert "damaged or holds more than tensors" in refused(capfd, *words, tmp_path / "cut.safetensors")
    assert "No weights of timm:small were fetched (No pretrained weights" in refused(capfd, *words, "download")


def test_without_timm_a_sentence_says_how_to_install_it(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install 'genshift[timm]'" in refused(capfd, "show", "adapt", "--backbone", "timm:resnet18")


@pytest.mark.usefixtures("timm")
def test_pixels_are_by_the_models_own_mean_and_deviation_or_as_they_were(monkeypatch):
    p = torch.rand(2, 3, 28, 28)
    monkeypatch.setattr(Small, "pretrained_cfg", {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}, raising=False)
    mean, std = (torch.tensor(Small.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    own, before = PretrainedBackbone("timm:small", 3, 28), PretrainedBackbone("timm:small", 3, 28, None)
    for backbone, wanted in ((own, (p - mean) / std), (before, (p - 0.5) / 0.5)):
        backbone.eval()
        torch.testing.assert_close(backbone.raw((p - 0.5) / 0.5), backbone.net(wanted), atol=1e-5, rtol=1e-4)


def test_a_run_of_an_earlier_version_keeps_its_pixels_and_its_rate(domains, tmp_path, timm):
    preset = tiny.tiny("source-usps-mnistm", domains, backbone="timm:small")
    tiny.train(preset, tmp_path / "run", images=4)
    config = RunFolder(tmp_path / "run").config
    for name in ("pixels", "backbone_rate"):
        del config["preset"]["fields"][name]
    old = preset_of(config)
    assert (old.pixels, old.backbone_rate) == ("preset", 1.0)


@pytest.fixture
def torchvision(monkeypatch):
    models = ModuleType("torchvision.models")
    models.list_models = lambda module=None: ["small", "headless"]
    models.get_model = lambda name, weights=None: Small(3, 1000 if name == "small" else 0)
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(get_state_dict=lambda check_hash: fetched().state_dict()))
    models.get_model_weights = lambda name: weights
    package = ModuleType("torchvision")
    package.models = models
    monkeypatch.setitem(sys.modules, "torchvision", package)


@pytest.mark.usefixtures("torchvision")
def test_models_of_torchvision_lose_their_classifier_and_take_imagenets_pixels(capfd):
    backbone = PretrainedBackbone("torchvision:small", 1, 28).eval()
    assert backbone.features == 6 and not any("fc" in key for key in backbone.state_dict())
    backbone.start_from("download")
    assert torch.equal(backbone.net.conv1.weight, fetched().conv1.weight)
    p = torch.rand(2, 1, 28, 28)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(backbone.raw(2 * p - 1), backbone.net((p - mean) / std), atol=1e-5, rtol=1e-4)
    assert "ends in no linear classifier" in refused(capfd, "show", "adapt", "--backbone", "torchvision:headless")
    assert "did you mean 'small'" in refused(capfd, "show", "adapt", "--backbone", "torchvision:smal")


def test_without_torchvision_a_sentence_says_so(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert "needs torchvision, which does not import" in refused(
        capfd, "show", "adapt", "--backbone", "torchvision:resnet18"
    )
