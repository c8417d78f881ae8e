"""genshift's U-Net: any size, patch and width; rows apart; labels; its start; every weight learns."""

import pytest
import torch

from genshift.nets.unet import ATTENTION, HEAD, Attention, GroupNorm, Places, UNet, sinusoids


def unet(size=8, channels=3, classes=3, width=8, patch=1, dropout=0.0):
    """A U-Net that is past its start: the layers that begin at zero have been given weights."""
    torch.manual_seed(0)
    net = UNet(channels, classes, size, width, patch, dropout).double()
    for weight in net.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return net


def inputs(size=8, channels=3, count=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, channels, size, size, generator=generator, dtype=torch.float64)
    return x, torch.linspace(1, 1000, count, dtype=torch.float64), torch.arange(count) % 3


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("size", [17, 28, 30, 32, 64])
def test_the_answer_has_the_pictures_shape(size, patch):
    for channels in (1, 3):
        net = unet(size, channels, patch=patch, width=2).float()
        x, t, y = inputs(size, channels, count=1)
        answer = net(x.float(), t, y)
        assert answer.shape == x.shape and answer.dtype == torch.float32 and answer.isfinite().all()


def test_large_pictures_of_other_sides_than_it_was_built_for_pass_too():
    net = unet(128, patch=4, width=2)
    x, t, y = inputs(128, count=1)
    assert net(x, t, y).shape == x.shape
    assert net(x[..., :99, :70], t, y).shape == (1, 3, 99, 70)


@pytest.mark.parametrize("width", [2, 6, 18, 20, 50, 96, 104])
def test_every_even_width_builds_and_answers(width):
    net, (x, t, y) = unet(9, width=width, patch=1), inputs(9, count=1)
    assert net(x, t, y).shape == x.shape


@pytest.mark.parametrize(("channels", "heads"), [(8, 1), (64, 1), (128, 2), (192, 3), (208, 2), (384, 6)])
def test_heads_divide_the_channels(channels, heads):
    assert Attention(channels).heads == heads and channels // heads >= min(HEAD, channels)


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (18, 2), (50, 2), (96, 4), (192, 8), (512, 32), (1024, 32)])
def test_groups_have_eight_channels_or_more(channels, groups):
    assert GroupNorm(channels).num_groups == groups


def test_attention_stands_at_small_sides_alone():
    """At 28 pixels: sides 28 and 14 without, 7 with, two blocks down and three up; and once in the middle."""
    net = unet(28, width=8)
    stages = [layer for layer in (*net.down, *net.up) if hasattr(layer, "attention")]
    assert [layer.attention is not None for layer in stages] == [False] * 4 + [True] * 5 + [False] * 6
    assert [layer.attention is not None for layer in net.middle] == [False, True] and ATTENTION == 8


def test_attention_is_torchs():
    """Against torch's scaled dot product, head by head."""
    torch.manual_seed(0)
    layer = Attention(128).double()
    torch.nn.init.normal_(layer.out.weight, std=0.1)
    x = torch.randn(2, 128, 3, 4, dtype=torch.float64)
    q, k, v = layer.qkv(layer.norm(x).flatten(2).transpose(1, 2)).chunk(3, 2)
    heads = [
        torch.nn.functional.scaled_dot_product_attention(*(each[..., at : at + 64] for each in (q, k, v)))
        for at in (0, 64)
    ]
    expected = x + layer.out(torch.cat(heads, 2)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(layer(x), expected)


def test_rows_do_not_mix():
    net, (x, t, y) = unet(9).eval(), inputs(9)
    together = net(x, t, y)
    for row in range(3):
        torch.testing.assert_close(net(x[row : row + 1], t[row : row + 1], y[row : row + 1]), together[row : row + 1])


def test_time_and_label_each_change_the_answer():
    net, (x, t, y) = unet(), inputs(count=1)
    answer = net(x, t, y)
    assert (net(x, t + 1, y) - answer).abs().max() > 1e-6
    assert (net(x, t, y + 1) - answer).abs().max() > 1e-6


def test_label_minus_one_is_no_label():
    net, (x, t, y) = unet(), inputs()
    none = net(x, t)
    assert torch.equal(net(x, t, torch.full_like(y, -1)), none)
    mixed = net(x, t, torch.tensor([0, -1, 2]))
    torch.testing.assert_close(mixed[1], none[1])
    assert (mixed[0] - none[0]).abs().max() > 1e-6 and (mixed[2] - none[2]).abs().max() > 1e-6


def test_a_label_left_out_teaches_no_label():
    net, (x, t, _) = unet(), inputs()
    net(x, t, torch.tensor([1, -1, -1])).square().sum().backward()
    taught = net.label.weight.grad.abs().sum(1) > 0
    assert taught.tolist() == [False, True, False]


def test_it_starts_without_looking():
    """The last layer's weights are zero, so the first answer is a constant for each channel, small and of any input."""
    torch.manual_seed(0)
    net = UNet(3, 3, 8, 8, 1, 0.0).double()
    x, t, y = inputs()
    assert not net.last.weight.any()
    torch.testing.assert_close(net(x, t, y), net.last.bias[None, :, None, None].expand(x.shape))


def test_every_weight_learns():
    """Zeros at the start hold back what lies before them for a step or two, and no longer."""
    torch.manual_seed(0)
    net = UNet(1, 3, 9, 8, 1, 0.0).double()
    optimizer, (x, t, y) = torch.optim.SGD(net.parameters(), lr=0.1), inputs(9, 1)
    for _ in range(3):
        optimizer.zero_grad()
        (net(x, t, y) - x).square().mean().backward()
        optimizer.step()
    still = [name for name, weight in net.named_parameters() if not weight.grad.any()]
    assert still == []


def test_sinusoids_are_cosines_and_sines_of_falling_frequencies():
    t = torch.tensor([0.0, 1.0, 250.0])
    by_hand = [[f(v * 1e4 ** (-i / 4)) for f in (torch.cos, torch.sin) for i in range(4)] for v in t]
    torch.testing.assert_close(sinusoids(t, 8), torch.tensor(by_hand))


def test_dropout_drops_in_training_alone():
    net, (x, t, y) = unet(dropout=0.5), inputs()
    assert not torch.equal(net.train()(x, t, y), net(x, t, y))
    assert torch.equal(net.eval()(x, t, y), net(x, t, y))


def test_places_have_a_map_for_all_and_one_more_for_each_class():
    places, x = Places(3, 2, 4), torch.randn(3, 2, 4, 4)
    torch.nn.init.normal_(places.maps.weight)
    shared, *own = places.maps.weight.detach().view(4, 2, 4, 4)
    added = (places(x, torch.tensor([-1, 0, 2])) - x).detach()
    torch.testing.assert_close(added, torch.stack([shared, shared + own[0], shared + own[2]]))
    torch.testing.assert_close((places(x, None) - x).detach(), shared.expand(3, -1, -1, -1))
    wider = torch.nn.functional.interpolate(shared[None], (8, 6), mode="bilinear")
    torch.testing.assert_close(places(torch.zeros(1, 2, 8, 6), None).detach(), wider)
