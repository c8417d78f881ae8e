"""The seam to timm, with a module that has its functions' names and arguments in its place."""

import sys
from types import ModuleType

import pytest
import tiny
import torch
from safetensors.torch import save_file
from tiny import refused
from torch import nn

from genshift import presets
from genshift.runs.folder import RunFolder
from genshift.runs.trained_run import open_run

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
def test_other_methods_take_it_but_those_with_statistics_for_each_domain(domains, tmp_path, capfd):
    preset = tiny.tiny("shot-usps-mnistm", domains, backbone="timm:small")
    assert tiny.train(preset, tmp_path / "run", images=8)
    assert "keeps statistics for each domain" in refused(capfd, "show", "mcc-usps-mnistm", "--backbone", "timm:small")


@pytest.mark.usefixtures("timm")
def test_models_and_weights_that_do_not_fit_are_refused_in_a_sentence(domains, tmp_path, capfd):
    small = ("show", "adapt", "--backbone")
    assert "did you mean 'small'" in refused(capfd, *small, "timm:smal")
    assert "takes no pictures of 30 px (Input size 30" in refused(capfd, *small, "timm:small", "--size", 30)
    assert "takes residual, or timm:NAME" in refused(capfd, *small, "resnet18")
    assert "for timm's models: name one" in refused(capfd, "show", "adapt", "--weights", "x.pth")
    source, target = domains
    words = ("train", "adapt", "--source", source, "--target", target, "--backbone", "timm:small", "--images", 4)
    words = (*words, "--out", tmp_path / "run", "--weights")
    assert "There is no file x.pth" in refused(capfd, *words, "x.pth")
    save_file({"conv1.weight": torch.zeros(6, 1, 4, 4)}, tmp_path / "other.safetensors")
    said = refused(capfd, *words, tmp_path / "other.safetensors")
    assert "are not those of small for 3 channel(s): 6 of 7 tensors" in said and "'conv1.weight' first" in said
    torch.save({"state_dict": presets.get("adapt")}, tmp_path / "code.pth")
    assert "damaged or holds more than tensors" in refused(capfd, *words, tmp_path / "code.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    assert "damaged or holds more than tensors" in refused(capfd, *words, tmp_path / "cut.safetensors")
    assert "fetched no weights of small (No pretrained weights" in refused(capfd, *words, "download")


def test_without_timm_a_sentence_says_how_to_install_it(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install 'genshift[timm]'" in refused(capfd, "show", "adapt", "--backbone", "timm:resnet18")
