"""Inception's measures beside torch-fidelity's own, on random weights; its weights' file; refusals."""

import hashlib
import sys

import numpy as np
import pytest
import torch
from data_server import serving

from genshift.data import download
from genshift.errors import Refusal
from genshift.metrics import inception
from genshift.metrics.frechet import frechet, statistics
from genshift.metrics.inception import load_inception
from genshift.metrics.kid import kid
from genshift.metrics.manifold import precision_recall


def pictures(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 6, 6, generator=generator)
    return (255 * torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")).byte()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights for torch-fidelity's network, drawn so that features keep their size (He et al.)."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network, "load_state_dict", lambda *_: None)
        state = network("bare", ["2048"], verbose=False).state_dict()
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if name.endswith("conv.weight"):
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(state, path)
    return path


class Pictures(torch.utils.data.Dataset):
    """What torch-fidelity takes for an input."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.images[row]


def test_measures_are_torch_fidelitys(weights):
    import torch_fidelity
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    generated, real = pictures(14, 0), (0.8 * pictures(14, 1).float()).byte()
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(generated), input2=Pictures(real), feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights), kid=True, prc=True, kid_subset_size=14, kid_subsets=1,
        cuda=False, cache=False, save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    said = []
    network = load_inception(weights, say=said.append)
    fake_features, real_features = network(generated), network(real)
    ours = precision_recall(real_features, fake_features)
    assert kid(real_features, fake_features) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert ours == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)
    assert not network.published and "is not the published" in said[0]
    # torch-fidelity's Fréchet distance takes half a minute for 2,048 features: 200 of them tell as much.
    one, other = (features[:, :200] for features in (fake_features, real_features))
    assert one.shape == (14, 200) and one.dtype == torch.float32 and one.std(0).mean() > 1e-3
    expected = fid_statistics_to_metric(*map(fid_features_to_statistics, (one, other)), verbose=False)
    assert frechet(statistics(one), statistics(other)) == pytest.approx(
        expected["frechet_inception_distance"], rel=1e-4
    )


def test_an_image_is_measured_alone_and_grey_is_three_equal_channels(weights, monkeypatch):
    monkeypatch.setattr(inception, "BATCH", 2)
    network = load_inception(weights, say=lambda _: None)
    grey = pictures(3, 2)[:, :1]
    features = network(grey)
    np.testing.assert_allclose(network(grey[2:].expand(-1, 3, -1, -1)), features[2:], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="expected uint8"):
        network(grey.float())


class Trap:
    """Leaves a file where it is unpickled in full."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_no_file_is_unpickled(weights, tmp_path):
    mark = tmp_path / "mark"
    torch.save({"conv": Trap(mark)}, tmp_path / "trap.pth")
    with pytest.raises(Refusal, match="holds more than weights"):
        load_inception(tmp_path / "trap.pth", say=lambda _: None)
    assert not mark.exists()


def test_files_that_are_no_weights(weights, tmp_path):
    (tmp_path / "words.pth").write_text("not weights")
    (tmp_path / "short.pth").write_bytes(weights.read_bytes()[:1000])
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    for name, said in (("words", "damaged"), ("short", "damaged"), ("list", "no list"), ("other", "another network")):
        with pytest.raises(Refusal, match=said):
            load_inception(tmp_path / f"{name}.pth", say=lambda _: None)
    with pytest.raises(Refusal, match="There is no file"):
        load_inception(tmp_path / "absent.pth")


def test_without_torch_fidelity(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(Refusal, match=r"pip install 'genshift\[fid\]'.*--weights FILE"):
        load_inception()


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A published file at a server of this machine, and an empty cache."""
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(inception, "_extractor", lambda: None)
    data = bytes(range(256)) * 8
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / inception.NAME).write_bytes(data)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(data).hexdigest())
    with serving(tmp_path / "served") as (url, manners):
        monkeypatch.setattr(inception, "URL", f"{url}/{inception.NAME}")
        yield data, manners, tmp_path / "cache" / "inception"


def test_no_host_is_asked_without_leave(served):
    _, manners, _ = served
    with pytest.raises(Refusal, match=r"not on this machine.*--weights FILE"):
        load_inception()
    assert manners.asked == []


def test_weights_are_fetched_once_and_checked(served):
    data, manners, folder = served
    manners.cuts = 1
    path = inception._weights_file(None, True, None)
    assert path.read_bytes() == data and [p.name for p in folder.iterdir()] == [inception.NAME]
    asked = len(manners.asked)
    assert inception._weights_file(None, False, None) == path and len(manners.asked) == asked == 2


def test_other_bytes_are_thrown_away(served):
    _, manners, folder = served
    manners.wrong = True
    with pytest.raises(Refusal, match="thrown away"):
        load_inception(download=True)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    manners.wrong, manners.status = False, 404
    with pytest.raises(Refusal, match="404"):
        load_inception(download=True)
