"""hw2's conditional U-Net: as the report prints it, its time embedding, its labels, any size and precision."""

from functools import partial

import numpy as np
import pytest
import torch
from test_nets import POOL, linear, numbered, printed
from torch import nn
from torch.nn import functional as F

from genshift.errors import Refusal
from genshift.nets.unet_report import DoubleConv, Down, GroupNorm, SelfAttention, UNet_conditional, Up, time_embedding

# Old PyTorch, as in the report, prints "GELU(approximate=none)" and "mode=bilinear"; today's puts quotes there.
GELU = "GELU(approximate='none')"
UPSAMPLE = "Upsample(scale_factor=2.0, mode='bilinear')"


def conv(a, b):
    return f"Conv2d({a}, {b}, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)"


def group_norm(channels):
    return f"GroupNorm(1, {channels}, eps=1e-05, affine=True)"


def double(a, b, c):
    """a channels to b to c."""
    return "DoubleConv", [
        ("double_conv", "Sequential", numbered([conv(a, b), group_norm(b), GELU, conv(b, c), group_norm(c)]))
    ]


def embedding(channels):
    return "emb_layer", "Sequential", numbered(["SiLU()", linear(256, channels)])


def down(a, b):
    pooled = numbered([POOL, double(a, a, a), double(a, b, b)])
    return "Down", [("maxpool_conv", "Sequential", pooled), embedding(b)]


def up(a, b):
    both = numbered([double(a, a, a), double(a, a // 2, b)])
    return "Up", [("up", UPSAMPLE), ("conv", "Sequential", both), embedding(b)]


def attention(c):
    norm = f"LayerNorm(({c},), eps=1e-05, elementwise_affine=True)"
    out = f"NonDynamicallyQuantizableLinear(in_features={c}, out_features={c}, bias=True)"
    return "SelfAttention", [
        ("mha", "MultiheadAttention", [("out_proj", out)]),
        ("ln", norm),
        ("ff_self", "Sequential", numbered([norm, linear(c, c), GELU, linear(c, c)])),
    ]


REPORT = [
    ("inc", *double(3, 64, 64)),
    ("down1", *down(64, 128)),
    ("sa1", *attention(128)),
    ("down2", *down(128, 256)),
    ("sa2", *attention(256)),
    ("down3", *down(256, 256)),
    ("sa3", *attention(256)),
    ("bot1", *double(256, 512, 512)),
    ("bot2", *double(512, 512, 512)),
    ("bot3", *double(512, 256, 256)),
    ("up1", *up(512, 128)),
    ("sa4", *attention(128)),
    ("up2", *up(256, 64)),
    ("sa5", *attention(64)),
    ("up3", *up(128, 64)),
    ("sa6", *attention(64)),
    ("outc", "Conv2d(64, 3, kernel_size=(1, 1), stride=(1, 1))"),
    ("label_emb", "Embedding(10, 256)"),
]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet_conditional().double()


def given(count=2, side=8, channels=3, dtype=torch.float64):
    torch.manual_seed(1)
    x = torch.randn(count, channels, side, side, dtype=dtype)
    return x, torch.linspace(1, 1000, count, dtype=dtype)


def test_it_prints_as_in_the_report(net):
    assert str(net) == printed("UNet_conditional", REPORT)


def test_weights_are_as_many_as_by_hand(net):
    """Convolutions, two a channel of GroupNorm, Linears with biases, attention of 4c² + 4c beside 2c² + 6c, labels."""
    blocks = [(3, 64, 64), (256, 512, 512), (512, 512, 512), (512, 256, 256)]
    blocks += [(a, a, a) for a in (64, 128, 256, 512, 256, 128)]
    blocks += [(64, 128, 128), (128, 256, 256), (256, 256, 256), (512, 256, 128), (256, 128, 64), (128, 64, 64)]
    doubles = sum(9 * (a * b + b * c) + 2 * (b + c) for a, b, c in blocks)
    times = sum(257 * c for c in (128, 256, 256, 128, 64, 64))
    attentions = sum(6 * c * c + 10 * c for c in (128, 256, 256, 128, 64, 64))
    assert sum(p.numel() for p in net.parameters()) == doubles + times + attentions + 64 * 3 + 3 + 10 * 256


@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 10)])
def test_it_takes_any_side_and_colour(channels, classes):
    net = UNet_conditional(channels, classes)
    for side in (28, 32, 30, 17):
        x, t = given(2, side, channels, torch.float32)
        with torch.no_grad():
            answer = net(x, t, torch.tensor([3, -1]) if classes else None)
        assert answer.shape == x.shape and answer.isfinite().all() and answer.std() > 0


def test_other_sides_are_padded_with_grey_at_the_bottom_and_right(net):
    x, t = given(1, 24)
    x[:, :, 21:] = 0
    x[:, :, :, 17:] = 0
    with torch.no_grad():
        torch.testing.assert_close(net(x[:, :, :21, :17], t), net(x, t)[:, :, :21, :17], rtol=0, atol=0)


def test_no_label_adds_nothing(net):
    x, t = given(3)
    with torch.no_grad():
        none, dropped = net(x, t), net(x, t, torch.full((3,), -1))
        mixed, labelled = net(x, t, torch.tensor([4, -1, 4])), net(x, t, torch.full((3,), 4))
    torch.testing.assert_close(dropped, none, rtol=0, atol=0)
    torch.testing.assert_close(mixed[1], none[1])
    torch.testing.assert_close(mixed[::2], labelled[::2])
    assert not torch.allclose(labelled, none, atol=1e-4)


def test_no_row_depends_on_another(net):
    x, t = given(3)
    y = torch.tensor([7, -1, 2])
    with torch.no_grad():
        together = net(x, t, y)
        apart = torch.cat([net(x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, apart, rtol=1e-9, atol=1e-9)


def test_the_time_and_the_label_matter(net):
    (x, t), y = given(2), torch.tensor([1, 1])
    with torch.no_grad():
        answers = [net(x, t, y), net(x, t.flip(0), y), net(x, t, y + 1)]
    assert all((answers[0] - other).abs().amax((1, 2, 3)).min() > 1e-4 for other in answers[1:])


def test_every_parameter_has_a_gradient(net):
    x, t = given(2)
    net.zero_grad()
    net(x, t, torch.tensor([5, -1])).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() and p.grad.isfinite().all() for p in net.parameters())
    assert net.label_emb.weight.grad.any(1).nonzero().flatten().tolist() == [5]


def test_the_time_embedding_is_its_formula():
    t = np.array([1.0, 2.5, 500.0, 1000.0])
    expected = np.empty((4, 256))
    for i in range(128):
        frequency = 10000 ** (-2 * i / 256)
        expected[:, i], expected[:, 128 + i] = np.sin(t * frequency), np.cos(t * frequency)
    np.testing.assert_allclose(time_embedding(torch.tensor(t)).numpy(), expected, rtol=0, atol=1e-12)
    coarse = time_embedding(torch.tensor(t, dtype=torch.float32))
    np.testing.assert_allclose(coarse.numpy(), expected, rtol=0, atol=2e-4)


def test_time_and_label_are_added_before_the_layers_that_read_them(net):
    t, y = torch.tensor([3.0, 900.0], dtype=torch.float64), torch.tensor([0, -1])
    given = []
    hook = net.down1.register_forward_pre_hook(lambda _, inputs: given.append(inputs[1]))
    with torch.no_grad():
        net(torch.zeros(2, 3, 8, 8, dtype=torch.float64), t, y)
    hook.remove()
    (emb,) = given
    torch.testing.assert_close(emb[0], time_embedding(t)[0] + net.label_emb.weight[0].detach())
    torch.testing.assert_close(emb[1], time_embedding(t)[1])


# --- what the print does not show -------------------------------------------------------------------------------------


def scrambled(block):
    """The block in float64 with GroupNorm and LayerNorm away from their start, where they could hide a mistake."""
    torch.manual_seed(2)
    block.double()
    for layer in block.modules():
        if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
            nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
    return block


def restated(block, x, residual):
    """A DoubleConv in plain numbers: GroupNorm(1) as mean and variance over a whole picture."""
    first, norm1, _, second, norm2 = block.double_conv

    def normalised(x, norm):
        mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]

    y = normalised(F.conv2d(x, first.weight, padding=1), norm1)
    y = y * 0.5 * (1 + torch.erf(y / 2**0.5))
    y = normalised(F.conv2d(y, second.weight, padding=1), norm2)
    return F.gelu(x + y) if residual else y


def spread(emb_layer, emb):
    return emb_layer[1](emb * emb.sigmoid())[:, :, None, None]


def test_a_down_block_restated():
    block = scrambled(Down(4, 6))
    x, emb = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.randn(2, 256, dtype=torch.float64)
    y = x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).amax((3, 5))
    y = restated(block.maxpool_conv[2], restated(block.maxpool_conv[1], y, True), False)
    torch.testing.assert_close(block(x, emb), y + spread(block.emb_layer, emb))


def test_an_up_block_restated():
    """Aligned corners: the new pixel i of 2n lies at i(n - 1)/(2n - 1) of the old."""
    block = scrambled(Up(8, 6))
    x, skip = torch.randn(2, 5, 4, 4, dtype=torch.float64), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    emb = torch.randn(2, 256, dtype=torch.float64)
    at = np.arange(8) * 3 / 7
    line = torch.tensor(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(4))))  # [8, 4]: hats around the old pixels
    wide = torch.einsum("ia,jb,ncab->ncij", line, line, x)
    y = restated(block.conv[1], restated(block.conv[0], torch.cat([skip, wide], 1), True), False)
    torch.testing.assert_close(block(x, skip, emb), y + spread(block.emb_layer, emb))


def test_self_attention_restated():
    """Four heads over the pixels, one after the other, and both additions."""
    block = scrambled(SelfAttention(8))
    x = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    tokens = x.permute(0, 2, 3, 1).reshape(2, 15, 8)
    q, k, v = F.linear(block.ln(tokens), block.mha.in_proj_weight, block.mha.in_proj_bias).chunk(3, 2)
    heads = []
    for head in range(4):
        part = slice(2 * head, 2 * head + 2)
        weights = (q[..., part] @ k[..., part].transpose(1, 2) / 2**0.5).softmax(2)
        heads.append(weights @ v[..., part])
    tokens = tokens + block.mha.out_proj(torch.cat(heads, 2))
    tokens = tokens + block.ff_self(tokens)
    torch.testing.assert_close(block(x), tokens.reshape(2, 3, 5, 8).permute(0, 3, 1, 2))


def test_the_blocks_are_joined_as_the_names_say():
    """A map that is skipped has passed its attention."""
    net, seen = UNet_conditional(1), {}
    for name in ("inc", "sa1", "sa2", "sa3", "bot1", "bot2", "bot3", "up1", "up2", "up3", "sa4", "sa5", "sa6", "outc"):
        net.get_submodule(name).register_forward_hook(partial(keep, seen, name))
    with torch.no_grad():
        net(*given(1, 16, 1, torch.float32))
    order = [("sa3", "bot1"), ("bot1", "bot2"), ("bot2", "bot3"), ("bot3", "up1"), ("up1", "sa4"), ("sa4", "up2")]
    for earlier, later in [*order, ("up2", "sa5"), ("sa5", "up3"), ("up3", "sa6"), ("sa6", "outc")]:
        assert seen[later][0][0] is seen[earlier][1]
    assert all(seen[name][0][1] is seen[skip][1] for name, skip in (("up1", "sa2"), ("up2", "sa1"), ("up3", "inc")))


def keep(seen, name, layer, inputs, output):
    seen[name] = inputs, output


def test_which_blocks_are_residual(net):
    residual = {name for name, layer in net.named_modules() if isinstance(layer, DoubleConv) and layer.residual}
    assert residual == {f"down{i}.maxpool_conv.1" for i in (1, 2, 3)} | {f"up{i}.conv.0" for i in (1, 2, 3)}
    assert all(layer.num_groups == 1 for layer in net.modules() if isinstance(layer, GroupNorm))


# --- precision and memory ---------------------------------------------------------------------------------------------


def test_bfloat16_and_channels_last_change_roundings_alone():
    torch.manual_seed(3)
    net, (x, t), y = UNet_conditional(), given(2, 32, dtype=torch.float32), torch.tensor([0, -1])
    plain = net(x, t, y)
    (slope,) = torch.autograd.grad(plain.square().mean(), net.outc.weight)
    net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = net(x, t, y)
    rounded.float().square().mean().backward()
    assert rounded.dtype == torch.bfloat16 and rounded.is_contiguous(memory_format=torch.channels_last)
    assert (rounded.float() - plain).norm() < 0.05 * plain.norm()
    assert (net.outc.weight.grad - slope).norm() < 0.05 * slope.norm()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_evaluation_without_gradients_answers_as_training(net):
    (x, t), y = given(2), torch.tensor([1, -1])
    with torch.no_grad():
        trained, rested = net.train()(x, t, y), net.eval()(x, t, y)
    net.train()
    torch.testing.assert_close(rested, trained, rtol=1e-9, atol=1e-9)


def test_labels_without_classes_are_refused():
    net, (x, t) = UNet_conditional(1, 0), given(1, 8, 1, torch.float32)
    assert not any("label" in name for name, _ in net.named_parameters())
    with pytest.raises(Refusal, match="U-Net without classes: give none"):
        net(x, t, torch.tensor([0]))
