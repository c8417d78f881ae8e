"""Fréchet distance, precision and recall, neighbours, reconstruction and sharpness against second implementations."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist

from genshift.errors import Refusal
from genshift.metrics.frechet import frechet, statistics
from genshift.metrics.kid import kid
from genshift.metrics.manifold import precision_recall
from genshift.metrics.neighbours import memorisation, nearest, nearest_images
from genshift.metrics.reconstruction import mse, psnr, ssim, way_round
from genshift.metrics.sharpness import sharpness


def points(n: int, width: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, width)))


def pictures(n: int, seed: int, channels: int = 3, side: int = 24) -> torch.Tensor:
    """Smooth random pictures, uint8."""
    noise = np.random.default_rng(seed).random((n, channels, side, side))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1.5, 1.5))
    return torch.from_numpy((255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8))


def spd(width: int, seed: int) -> torch.Tensor:
    factor = points(width, width, seed)
    return factor @ factor.T


# --- Fréchet


def test_statistics_are_numpys():
    features = points(60, 5, 0).float() * 3 + 100
    mean, covariance = statistics(features)
    assert mean.dtype == covariance.dtype == torch.float64
    np.testing.assert_allclose(mean, features.double().numpy().mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(features.double().numpy(), rowvar=False), rtol=1e-9)


def test_frechet_in_one_dimension():
    a, b = (torch.tensor([1.0]), torch.tensor([[4.0]])), (torch.tensor([-2.0]), torch.tensor([[0.25]]))
    assert frechet(a, b) == pytest.approx(3**2 + (2 - 0.5) ** 2, abs=1e-12)


def test_frechet_of_commuting_covariances():
    """With shared axes it is the sum of squared differences of means and of standard deviations."""
    axes = torch.linalg.qr(points(6, 6, 1)).Q
    one, other = torch.arange(6).double(), torch.tensor([3.0, 0, 0, 1, 2, 9]).double()
    shift = points(1, 6, 2)[0]
    a = torch.zeros(6).double(), axes @ torch.diag(one**2) @ axes.T
    b = shift, axes @ torch.diag(other**2) @ axes.T
    assert frechet(a, b) == pytest.approx(float(shift.square().sum() + (one - other).square().sum()), rel=1e-12)


@pytest.mark.parametrize("width", [2, 17, 64])
def test_frechet_by_the_eigenvalues_of_the_product(width):
    a, b = (points(1, width, 3)[0], spd(width, 4)), (points(1, width, 5)[0], spd(width, 6))
    roots = np.sqrt(np.linalg.eigvals(a[1].numpy() @ b[1].numpy()).astype(complex)).real.sum()
    expected = float((a[0] - b[0]).square().sum() + a[1].trace() + b[1].trace()) - 2 * roots
    assert frechet(a, b) == pytest.approx(expected, rel=1e-8) == frechet(b, a)


def test_frechet_of_fewer_images_than_features():
    """Two sets of three images each in their own plane of 40 dimensions: no cross term is left."""
    one, other = torch.zeros(3, 40), torch.zeros(3, 40)
    one[:, :2], other[:, 20:22] = points(3, 2, 7).float(), points(3, 2, 8).float()
    a, b = statistics(one), statistics(other)
    expected = float((a[0] - b[0]).square().sum() + a[1].trace() + b[1].trace())
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert 0 <= frechet(a, a) < 1e-9


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_frechet_of_itself_is_nothing(scale):
    gaussian = statistics(scale * points(30, 50, 9))
    assert 0 <= frechet(gaussian, gaussian) < 1e-11 * float(gaussian[1].trace())


def test_frechet_shrinks_with_the_count():
    """Of two halves of one set: the floor is no zero, and falls as the halves grow."""
    floors = []
    for n in (100, 1000):
        features = points(n, 16, 10)
        floors.append(frechet(*map(statistics, features.chunk(2))))
    assert floors[0] > 5 * floors[1] > 0


def test_features_that_say_nothing():
    with pytest.raises(Refusal, match="There are 1 images"):
        statistics(torch.ones(1, 4))
    with pytest.raises(Refusal, match="1 of 3 feature rows"):
        statistics(torch.tensor([[1.0], [float("nan")], [2.0]]))
    with pytest.raises(ValueError, match=r"expected \[N, D\]"):
        statistics(torch.ones(4))
    with pytest.raises(ValueError, match="5 features and the other 4"):
        frechet(statistics(points(9, 5, 0)), statistics(points(9, 4, 0)))


# --- kernel distance


def test_kid_is_the_unbiased_estimator_one_pair_at_a_time(monkeypatch):
    monkeypatch.setattr("genshift.metrics.kid.ROWS", 4)
    real, fake = points(11, 5, 0), points(7, 5, 1) + 0.5

    def kernel(x, y):
        return (float(x @ y) / 5 + 1) ** 3

    among = [
        np.mean([kernel(x, y) for i, x in enumerate(group) for j, y in enumerate(group) if i != j])
        for group in (real, fake)
    ]
    between = np.mean([kernel(x, y) for x in real for y in fake])
    assert kid(real, fake) == pytest.approx(among[0] + among[1] - 2 * between, rel=1e-12) == kid(fake, real)


def test_kid_of_one_population_is_nothing_on_average():
    drawn = [kid(points(40, 4, 2 * seed), points(40, 4, 2 * seed + 1)) for seed in range(200)]
    assert abs(np.mean(drawn)) < 3 * np.std(drawn) / math.sqrt(200) and min(drawn) < 0 < max(drawn)
    assert kid(points(40, 4, 0), points(40, 4, 1) + 1) > 10 * np.std(drawn)


def test_kid_of_too_little():
    with pytest.raises(Refusal, match="There are 1 images"):
        kid(points(1, 3, 0), points(9, 3, 0))
    with pytest.raises(ValueError, match="3 features and fake 4"):
        kid(points(9, 3, 0), points(9, 4, 0))


# --- precision, recall, density, coverage


def brute_force(real, fake, k):
    """Precision and recall by their definitions, one pair at a time."""
    real, fake = real.numpy(), fake.numpy()
    real_radii = np.sort(cdist(real, real), axis=1)[:, k]
    fake_radii = np.sort(cdist(fake, fake), axis=1)[:, k]
    between = cdist(real, fake)
    inside = [[between[i, j] <= real_radii[i] for i in range(len(real))] for j in range(len(fake))]
    reached = [[between[i, j] <= fake_radii[j] for j in range(len(fake))] for i in range(len(real))]
    return np.mean([any(row) for row in inside]), np.mean([any(row) for row in reached])


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_manifolds_are_those_of_the_definition(k, shift, monkeypatch):
    monkeypatch.setattr("genshift.metrics.manifold.ROWS", 7)
    real, fake = points(40, 3, 0) + 50, 0.7 * points(55, 3, 1) + 50 + shift
    expected = brute_force(real, fake, k)
    assert precision_recall(real, fake, k) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected[1] < 1, "the case must tell"


def test_manifolds_of_the_same_and_of_far_sets():
    real = points(50, 4, 2)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, real + 100) == (0.0, 0.0)


def test_a_collapsed_generator_has_precision_and_no_recall():
    real = points(200, 2, 3)
    fake = 1e-3 * points(200, 2, 4)
    precision, recall = precision_recall(real, fake)
    assert precision > 0.95 and recall < 0.05


def test_too_few_points_for_a_manifold():
    with pytest.raises(Refusal, match="There are 3 images"):
        precision_recall(points(20, 2, 0), points(3, 2, 0))
    with pytest.raises(Refusal, match="k is 0"):
        precision_recall(points(20, 2, 0), points(20, 2, 0), k=0)
    with pytest.raises(ValueError, match="2 features and fake 3"):
        precision_recall(points(20, 2, 0), points(20, 3, 0))


# --- neighbours


def test_neighbours_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr("genshift.metrics.neighbours.ROWS", 8)
    train, samples = pictures(33, 0), pictures(9, 1)
    found = nearest_images(samples, train)
    flat = train.flatten(1).numpy() / 255
    both = np.minimum(
        cdist(samples.flatten(1).numpy() / 255, flat), cdist(samples.flip(-1).flatten(1).numpy() / 255, flat)
    )
    np.testing.assert_array_equal(found.rows, both.argmin(axis=1))
    np.testing.assert_allclose(found.distances, np.sort(both, axis=1)[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found.second, np.sort(both, axis=1)[:, 1], rtol=1e-5)


def test_copies_and_their_mirror_images_are_found():
    train = pictures(30, 2)
    samples = torch.cat([train[[4, 29]], train[[7]].flip(-1), pictures(3, 3)])
    found = nearest_images(samples, train)
    assert found.rows[:3].tolist() == [4, 29, 7] and (found.distances[:3] == 0).all()
    measured = memorisation(found, nearest_images(pictures(20, 4), train))
    assert measured.copies == 0.5 and measured.copies_held_out == 0
    assert memorisation(nearest_images(train[:9], train), nearest_images(pictures(9, 4), train)).ratio == 0


def test_fresh_images_are_as_far_as_held_out_ones():
    train = pictures(60, 5)
    measured = memorisation(nearest_images(pictures(40, 6), train), nearest_images(pictures(40, 7), train))
    assert measured.ratio == pytest.approx(1, abs=0.05) and measured.copies == 0


def test_smooth_samples_are_no_copies():
    """The mean image is nearer every training image than they are to each other, and copies none."""
    train = pictures(60, 8)
    mean = train.double().mean(0, keepdim=True).byte().expand(5, -1, -1, -1)
    measured = memorisation(nearest_images(mean, train), nearest_images(pictures(20, 9), train))
    assert measured.ratio < 0.8 and measured.copies == 0


def test_neighbours_in_features():
    train, samples = points(50, 6, 0), points(12, 6, 1)
    found = nearest(samples, train)
    np.testing.assert_array_equal(found.rows, cdist(samples, train).argmin(axis=1))
    mirrored = nearest(samples, train, mirrored=train[:12])
    assert mirrored.rows.tolist() == list(range(12)) and (mirrored.distances == 0).all()


def test_neighbours_of_nothing():
    images = pictures(4, 0)
    with pytest.raises(Refusal, match="0 samples and 4 training images"):
        nearest_images(images[:0], images)
    with pytest.raises(Refusal, match="held-out images or more are in the training set"):
        memorisation(nearest_images(images, images), nearest_images(images, images))
    with pytest.raises(ValueError, match="unlike"):
        nearest_images(images[:, :1], images)
    with pytest.raises(ValueError, match="expected uint8"):
        nearest_images(images.float(), images)


# --- reconstruction


def scipy_ssim(x, y):
    """SSIM as Wang et al. publish it and scikit-image computes it: Gaussian weights, population covariance, no rim."""
    values = []
    for one, other in zip(x.numpy() / 255, y.numpy() / 255, strict=True):

        def mean(image):
            return ndimage.gaussian_filter(image, sigma=1.5, truncate=3.5, mode="reflect")[5:-5, 5:-5]

        mx, my = mean(one), mean(other)
        vx, vy, vxy = mean(one**2) - mx**2, mean(other**2) - my**2, mean(one * other) - mx * my
        top = (2 * mx * my + 0.01**2) * (2 * vxy + 0.03**2)
        values.append((top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))).mean())
    return np.mean(values)


def test_a_blurred_copy_keeps_the_way_round_and_a_mirrored_one_does_not():
    images = torch.rand(4, 3, 8, 8)
    near = images + 0.1 * (images.mean() - images)
    kept = way_round(images, torch.stack([near[0], near[1].flip(-1), near[2], images[3].flip(-1)]))
    assert kept.tolist() == [True, False, True, False]
    assert way_round(torch.full((1, 1, 8, 8), 0.5), torch.zeros(1, 1, 8, 8)).tolist() == [True]  # its own mirror image


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scipys(channels, monkeypatch):
    monkeypatch.setattr("genshift.metrics.reconstruction.IMAGES", 2)
    x, y = pictures(5, 0, channels), pictures(5, 1, channels)
    y[2:] = (0.8 * x[2:].float() + 0.2 * y[2:].float()).byte()
    expected = [scipy_ssim(one, other) for one, other in zip(x, y, strict=True)]
    np.testing.assert_allclose(ssim(x, y), expected, atol=1e-9)
    np.testing.assert_allclose(ssim(x.float() / 255, y), expected, atol=1e-6)
    assert expected[0] < 0.5 < expected[2]


def test_reconstruction_of_constant_images():
    """Two constants a and b: MSE (a − b)², SSIM (2ab + C1) / (a² + b² + C1)."""
    a, b = torch.full((1, 3, 16, 16), 0.25), torch.full((1, 3, 16, 16), 0.75)
    assert mse(a, b).item() == pytest.approx(0.25, abs=1e-12)
    assert psnr(a, b).item() == pytest.approx(-10 * math.log10(0.25), abs=1e-9)
    assert ssim(a, b).item() == pytest.approx((2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4), abs=1e-9)


def test_reconstruction_of_the_same_image():
    images = pictures(3, 2)
    assert mse(images, images).tolist() == [0, 0, 0] and psnr(images, images).tolist() == [math.inf] * 3
    np.testing.assert_allclose(ssim(images, images), 1, atol=1e-12)


def test_reconstruction_is_one_figure_an_image():
    x, y = pictures(4, 3), pictures(4, 4)
    np.testing.assert_allclose(mse(x, y), ((x.numpy() / 255 - y.numpy() / 255) ** 2).mean(axis=(1, 2, 3)), rtol=1e-12)
    assert mse(x[2:3], y[2:3]).item() == mse(x, y)[2].item()


@pytest.mark.parametrize(
    "images, error, said",
    [
        (torch.full((2, 3, 16, 16), -1.0), Refusal, "run from -1 to -1: expected 0 to 1"),
        (torch.full((2, 3, 16, 16), float("nan")), Refusal, "expected 0 to 1"),
        (torch.zeros(0, 3, 16, 16), Refusal, "no images"),
        (torch.zeros(2, 4, 16, 16), ValueError, "1 or 3"),
        (torch.zeros(2, 3, 16, 16).long(), ValueError, "expected uint8"),
    ],
)
def test_pixels_that_are_none(images, error, said):
    for measure in (sharpness, lambda x: mse(x, x), lambda x: ssim(x, x)):
        with pytest.raises(error, match=said):
            measure(images)


def test_images_too_small_or_unlike():
    with pytest.raises(Refusal, match="smaller than the window"):
        ssim(torch.zeros(1, 1, 10, 30), torch.zeros(1, 1, 10, 30))
    with pytest.raises(ValueError, match="expected the same"):
        mse(torch.zeros(2, 1, 16, 16), torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="3 pixels a side"):
        sharpness(torch.zeros(1, 1, 2, 2))


# --- sharpness


def test_sharpness_is_scipys():
    images = pictures(3, 5)
    for image, ours in zip(images.numpy() / 255, sharpness(images), strict=True):
        luma = np.tensordot([0.299, 0.587, 0.114], image, axes=1)
        assert ours.item() == pytest.approx(ndimage.laplace(luma)[1:-1, 1:-1].var(ddof=1), rel=1e-9)


def test_sharpness_of_known_images():
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    assert sharpness(255 * board[None, None].byte()).item() == pytest.approx(16 * 36 / 35)  # the Laplacian is ±4
    ramp = torch.linspace(0, 1, 8).expand(1, 3, 8, 8)
    assert sharpness(ramp).item() == pytest.approx(0, abs=1e-12)


def test_blur_lowers_sharpness():
    sharp = pictures(10, 6)
    figures = [sharpness(sharp)]
    for sigma in (0.5, 1.0, 2.0):
        figures.append(sharpness(torch.from_numpy(ndimage.gaussian_filter(sharp.numpy(), (0, 0, sigma, sigma)))))
    assert all((more > less).all() for more, less in itertools.pairwise(figures))
