"""Networks: what they print, what they compute, how many weights they have."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genshift.errors import Refusal
from genshift.nets import build_adaptation
from genshift.nets.adaptation import (
    Classifier,
    DomainClassifier,
    Extractor,
    FeatureExtractor,
    LabelPredictor,
    Predictor,
)
from genshift.nets.layers import MATMUL_POSITIONS, BatchNorm1d, BatchNorm2d, Conv2d, LogSoftmax, _MatmulConv


def norm(channels, kind="2d"):
    return f"BatchNorm{kind}({channels}, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"


def conv(a, b, stride=1, padding=1):
    pad = f", padding=({padding}, {padding})" if padding else ""
    return f"Conv2d({a}, {b}, kernel_size=(3, 3), stride=({stride}, {stride}){pad})"


def linear(a, b):
    return f"Linear(in_features={a}, out_features={b}, bias=True)"


POOL = "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
INPLACE = "ReLU(inplace=True)"


def printed(name, tree):
    """The text of print(net) for a tree of (attribute, type, children) and (attribute, text)."""

    def lines(node, depth):
        attribute, text, *children = node
        head = "  " * depth + (f"({attribute}): " if attribute is not None else "") + text
        if not children:
            return [head]
        inside = [line for child in children[0] for line in lines(child, depth + 1)]
        return [head + "(", *inside, "  " * depth + ")"]

    return "\n".join(lines((None, name, tree), 0))


def numbered(layers):
    return [(str(i), *(layer if isinstance(layer, tuple) else (layer,))) for i, layer in enumerate(layers)]


def linear_block(a, b):
    return ("Linear_Block", [("block", "Sequential", numbered([linear(a, b), INPLACE]))])


def conv_block(a, b):
    return ("Conv_Block", [("block", "Sequential", numbered([conv(a, b, 2), norm(b), INPLACE]))])


def hw3_head(outputs):
    widths = [1024, 512, 256, 128, 64]
    blocks = [linear_block(a, b) for a, b in pairwise(widths)]
    return [
        ("preprocess", *linear_block(512, 1024)),
        ("predict", "Sequential", numbered([*blocks, linear(64, outputs), "LogSoftmax(dim=1)"])),
    ]


HW2_CONVOLUTIONS = [
    *[conv(3, 64), norm(64), INPLACE, POOL],
    *[conv(64, 128), norm(128), INPLACE, POOL],
    *[conv(128, 256, padding=0), norm(256), INPLACE],
    *[conv(256, 256, padding=0), norm(256), INPLACE],
    *[conv(256, 512, padding=0), norm(512), INPLACE],
]
HW2_LABELS = [linear(512, 512), "ReLU()", linear(512, 512), "ReLU()", linear(512, 10)]
HW2_DOMAIN = [linear(512, 512), norm(512, "1d"), "ReLU()"] * 4 + [linear(512, 1)]
HW3_WIDTHS = [3, 64, 128, 256, 512]
HW3_BLOCKS = [conv_block(a, b) for a, b in pairwise(HW3_WIDTHS)]

# What the reports print: hw2's "Problem 3 DANN", hw3's "Problem 3: DANN".
REPORTS = {
    FeatureExtractor: [("conv", "Sequential", numbered(HW2_CONVOLUTIONS))],
    LabelPredictor: [("layer", "Sequential", numbered(HW2_LABELS))],
    DomainClassifier: [("layer", "Sequential", numbered(HW2_DOMAIN))],
    Extractor: [("extract", "Sequential", numbered([*HW3_BLOCKS, POOL]))],
    Predictor: hw3_head(10),
    Classifier: hw3_head(2),
}


@pytest.mark.parametrize("kind", REPORTS, ids=lambda kind: kind.__name__)
def test_a_network_prints_as_in_the_report(kind):
    assert str(kind()) == printed(kind.__name__, REPORTS[kind])


def test_the_printer_of_this_test_prints_the_report():
    """Two of the reports' lines and their indentation, word for word."""
    text = printed("FeatureExtractor", REPORTS[FeatureExtractor])
    first = "    (0): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n"
    assert text.startswith("FeatureExtractor(\n  (conv): Sequential(\n" + first)
    assert "    (14): Conv2d(256, 512, kernel_size=(3, 3), stride=(1, 1))\n" in text
    assert text.endswith("    (16): ReLU(inplace=True)\n  )\n)")


def weights_of(*layers):
    """Weights by hand: ("conv", a, b), ("linear", a, b), ("norm", c)."""
    count = {"conv": lambda a, b: 9 * a * b + b, "linear": lambda a, b: a * b + b, "norm": lambda c: 2 * c}
    return sum(count[kind](*sizes) for kind, *sizes in layers)


def chain(kind, *widths):
    return [(kind, a, b) for a, b in pairwise(widths)]


def norms(*channels):
    return [("norm", c) for c in channels]


@pytest.mark.parametrize(
    ("net", "count"),
    [
        (FeatureExtractor(), weights_of(*chain("conv", 3, 64, 128, 256, 256, 512), *norms(64, 128, 256, 256, 512))),
        (LabelPredictor(), weights_of(*chain("linear", 512, 512, 512, 10))),
        (LabelPredictor(7), weights_of(*chain("linear", 512, 512, 512, 7))),
        (DomainClassifier(), weights_of(*chain("linear", 512, 512, 512, 512, 512, 1), *norms(512, 512, 512, 512))),
        (Extractor(), weights_of(*chain("conv", 3, 64, 128, 256, 512), *norms(64, 128, 256, 512))),
        (Predictor(), weights_of(*chain("linear", 512, 1024, 512, 256, 128, 64, 10))),
        (Classifier(), weights_of(*chain("linear", 512, 1024, 512, 256, 128, 64, 2))),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_the_number_of_weights_is_the_one_counted_by_hand(net, count):
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(("name", "sides", "domain"), [("hw2", (28, 31), 1), ("hw3", (17, 28, 48), 2)])
def test_shapes_at_every_end_of_the_sizes(name, sides, domain):
    for side in sides:
        nets = build_adaptation(name, 10, side, adversary=True)
        features = nets["extractor"](torch.rand(2, 3, side, side))
        assert features.shape == (2, 512)
        assert nets["predictor"](features).shape == (2, 10)
        assert nets["domain"](features).shape == (2, domain)


@pytest.mark.parametrize(("pooling", "sides"), [("two-averaged", (28, 32, 63)), ("five", (32, 63))])
def test_hw2s_other_poolings_give_512_features_at_every_end_of_their_sizes(pooling, sides):
    for side in sides:
        extractor = build_adaptation("hw2", 10, side, adversary=False, pooling=pooling)["extractor"]
        assert extractor(torch.rand(2, 3, side, side)).shape == (2, 512)
    for side in (sides[0] - 1, sides[-1] + 1):
        with pytest.raises(Refusal, match=f"with --pooling {pooling} takes images .* not {side}: give --size 32"):
            build_adaptation("hw2", 10, side, adversary=False, pooling=pooling)


def test_the_cited_sources_extractor_pools_after_each_of_five_padded_convolutions():
    """ML2021 HW11's, of which the report kept the first two poolings."""
    widths = [3, 64, 128, 256, 256, 512]
    layers = [layer for a, b in pairwise(widths) for layer in (conv(a, b), norm(b), INPLACE, POOL)]
    tree = [("conv", "Sequential", numbered(layers))]
    assert str(FeatureExtractor("five")) == printed("FeatureExtractor", tree)
    # Averaged, the printed one has a last layer more, and as many weights; at 28 pixels it is the printed one.
    averaged, two = FeatureExtractor("two-averaged"), FeatureExtractor()
    assert str(averaged.conv[-1]) == "AdaptiveAvgPool2d(output_size=1)" and len(averaged.conv) == len(two.conv) + 1
    two.load_state_dict(averaged.state_dict())
    x = torch.rand(2, 3, 28, 28)
    torch.testing.assert_close(averaged.eval()(x), two.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "side"), [("hw2", 27), ("hw2", 32), ("hw3", 16), ("hw3", 49)])
def test_a_size_that_the_extractor_cannot_take_is_refused(name, side):
    with pytest.raises(Refusal, match=f"not {side}: give --size 28"):
        build_adaptation(name, 10, side, adversary=False)


@pytest.mark.parametrize(("name", "side"), [("hw2", 27), ("hw2", 32), ("hw3", 16), ("hw3", 49)])
def test_beyond_the_sizes_there_are_no_512_features(name, side):
    """The refusal is not stricter than the networks are."""
    extractor = {"hw2": FeatureExtractor, "hw3": Extractor}[name]().eval()
    try:
        features = extractor(torch.rand(1, 3, side, side))
    except RuntimeError:
        return
    assert features.shape[1] != 512


def test_without_an_adversary_there_is_no_domain_classifier():
    assert set(build_adaptation("hw2", 10, 28, adversary=False)) == {"extractor", "predictor"}


@pytest.mark.parametrize(("pooling", "side"), [("two", 28), ("five", 32)])
def test_pooling_before_the_relu_changes_nothing(pooling, side):
    """hw2's extractor pools first for speed; the printed order is the definition."""
    net = FeatureExtractor(pooling).double()
    x = torch.rand(3, 3, side, side, dtype=torch.float64)
    fast = net(x)
    fast_gradients = torch.autograd.grad(fast.square().sum(), list(net.parameters()))
    printed_order = net.conv(x).flatten(1)
    gradients = torch.autograd.grad(printed_order.square().sum(), list(net.parameters()))
    torch.testing.assert_close(fast, printed_order, rtol=0, atol=0)
    torch.testing.assert_close(fast_gradients, gradients)


# --- layers ---------------------------------------------------------------------------------------------------------

# channels in, out, side, kernel, stride, padding
GEOMETRIES = [
    (3, 4, 5, 3, 1, 1),
    (4, 5, 3, 3, 1, 0),
    (2, 3, 7, 3, 1, 0),
    (3, 4, 7, 3, 2, 1),
    (3, 4, 8, 3, 2, 1),
    (3, 4, 9, 3, 2, 0),
    (4, 2, 4, 4, 2, 1),
    (4, 3, 5, 5, 1, 2),
    (4, 3, 6, 1, 2, 0),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_matrix_form_is_the_convolution(geometry, channels_last):
    """Forward and both gradients, in float64, against torch's convolution."""
    c_in, c_out, side, k, s, p = geometry
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(3, c_in, side, side, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(c_out, c_in, k, k, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    ours, theirs = _MatmulConv.apply(x, weight, k, s, p), F.conv2d(x, weight, None, s, p)
    torch.testing.assert_close(ours, theirs)
    seed = torch.randn_like(theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (x, weight), seed), torch.autograd.grad(theirs, (x, weight), seed)
    )


def test_the_matrix_form_skips_the_gradient_of_an_input_that_needs_none():
    x, weight = torch.rand(1, 2, 3, 3), torch.rand(2, 2, 3, 3, requires_grad=True)
    _MatmulConv.apply(x, weight, 3, 1, 0).sum().backward()
    assert x.grad is None and weight.grad is not None


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_under_bfloat16_the_layer_is_as_exact_as_torchs(geometry):
    """The same weights in both; errors against float64 no larger than twice those of torch's own layer."""
    c_in, c_out, side, k, s, p = geometry
    torch.manual_seed(0)
    ours, theirs, exact = (kind(c_in, c_out, k, s, p) for kind in (Conv2d, nn.Conv2d, nn.Conv2d))
    for other in (theirs, exact):
        other.load_state_dict(ours.state_dict())
    x = torch.randn(4, c_in, side, side)
    assert run_with_gradients(exact.double(), x.double(), bfloat16=False)
    truth = run_with_gradients(exact, x.double(), bfloat16=False)
    mine, torchs = (run_with_gradients(net, x, bfloat16=True) for net in (ours, theirs))
    for name, value in truth.items():
        scale = value.abs().max()
        error, allowed = ((got[name].double() - value).abs().max() / scale for got in (mine, torchs))
        assert error <= 2 * allowed + 1e-2, name


def run_with_gradients(net, x, bfloat16):
    x = x.clone().requires_grad_()
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        y = net(x)
    y.double().square().sum().backward()
    return {"y": y.detach(), "x": x.grad, "weight": net.weight.grad, "bias": net.bias.grad}


def takes_matmul(monkeypatch, layer, x, bfloat16=True):
    """Whether the layer's forward goes through the matrix form."""
    taken = []
    apply = _MatmulConv.apply
    monkeypatch.setattr(_MatmulConv, "apply", lambda *a: taken.append(True) or apply(*a))
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        layer(x)
    return bool(taken)


def test_the_matrix_form_is_taken_up_to_its_limit_alone(monkeypatch):
    side = int(MATMUL_POSITIONS**0.5)
    assert side**2 == MATMUL_POSITIONS
    assert takes_matmul(monkeypatch, Conv2d(2, 2, 3, 1, 1), torch.rand(1, 2, side, side))
    assert not takes_matmul(monkeypatch, Conv2d(2, 2, 3, 1, 1), torch.rand(1, 2, side + 1, side))


@pytest.mark.parametrize(
    ("options", "bfloat16"),
    [
        ({}, False),
        ({"groups": 2}, True),
        ({"dilation": 2}, True),
        ({"padding": "same"}, True),
        ({"padding": (1, 0)}, True),
        ({"stride": (1, 2)}, True),
        ({"kernel_size": (3, 1)}, True),
    ],
    ids=str,
)
def test_the_matrix_form_is_left_where_it_does_not_fit(monkeypatch, options, bfloat16):
    layer = Conv2d(2, 2, **{"kernel_size": 3, "padding": 1, **options})
    assert not takes_matmul(monkeypatch, layer, torch.rand(1, 2, 5, 5), bfloat16)


def test_the_layer_has_torchs_parameters_and_start():
    torch.manual_seed(3)
    ours = Conv2d(3, 4, 3, 2, 1)
    torch.manual_seed(3)
    theirs = nn.Conv2d(3, 4, 3, 2, 1)
    assert str(ours) == str(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_log_softmax_never_computes_in_bfloat16():
    logits = torch.tensor([[1.0, -3.0, 7.0]]).bfloat16()
    ours = LogSoftmax(dim=1)(logits)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, logits.double().log_softmax(1).float())
    assert LogSoftmax(dim=1)(logits.double()).dtype == torch.float64
    assert str(LogSoftmax(dim=1)) == "LogSoftmax(dim=1)"


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [(BatchNorm1d, nn.BatchNorm1d, (6, 4)), (BatchNorm2d, nn.BatchNorm2d, (6, 4, 3, 3))],
)
def test_batch_norm_of_one_process_is_torchs(ours, theirs, shape):
    one, other = ours(4).double(), theirs(4).double()
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    for training in (True, False):
        one.train(training), other.train(training)
        assert torch.equal(one(x), other(x))
    assert all(torch.equal(one.state_dict()[k], v) for k, v in other.state_dict().items())
