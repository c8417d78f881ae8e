"""A flat folder of whatever pictures people have: right colours, upright, square; what is broken is named."""

import bz2
import gzip
import io
import struct
import weakref
import zlib

import numpy as np
import pytest
import scipy.io
import torch
from data_files import idx_bytes, libsvm_text, noise, png, write_celeba, write_pictures, write_tar, write_zip
from PIL import EpsImagePlugin, Image, ImageFilter, features
from tiny import refused

import genshift.data.check
import genshift.model
from genshift.cli import main
from genshift.data import bounds, formats, load, load_named, pack, pictures
from genshift.data.dataset import USUAL
from genshift.data.pixels import decode
from genshift.errors import Refusal

QUARTERS = np.array([[(250, 5, 5), (5, 250, 5)], [(5, 5, 250), (250, 250, 5)]], np.uint8)
TURN = Image.Transpose  # how a picture must be stored, for its EXIF tag to bring it upright
STORED = {2: TURN.FLIP_LEFT_RIGHT, 3: TURN.ROTATE_180, 4: TURN.FLIP_TOP_BOTTOM, 5: TURN.TRANSPOSE,
          6: TURN.ROTATE_90, 7: TURN.TRANSVERSE, 8: TURN.ROTATE_270}  # fmt: skip


def encode(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def quarters(height=40, width=60):
    """A picture of four colours: red, green over blue, yellow."""
    return Image.fromarray(QUARTERS.repeat(height // 2, 0).repeat(width // 2, 1))


def corners(image_CHW):
    """The colours in the middle of the four quarters, `[2, 2, 3]`."""
    height, width = image_CHW.shape[1:]
    rows, columns = [height // 4, height - 1 - height // 4], [width // 4, width - 1 - width // 4]
    return np.asarray(image_CHW)[:, rows][:, :, columns].transpose(1, 2, 0).astype(int)


def one(folder, data, name="a.png", **options):
    """The picture that these bytes are in a folder of their own, uint8 `[C, H, W]`."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return load(folder, **options).images[0]


def middle(*args, **options):
    image = one(*args, **options)
    return image[:, image.shape[1] // 2, image.shape[2] // 2].tolist()


@pytest.mark.parametrize("size", [None, 16, 64])
@pytest.mark.parametrize("tag", range(10))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_exif_orientation_is_brought_upright(tmp_path, kind, tag, size):
    exif = Image.Exif()
    exif[0x0112] = tag  # 0 and 9 are none, and change nothing
    stored = quarters().transpose(STORED[tag]) if tag in STORED else quarters()
    options = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}[kind]
    image = one(tmp_path, encode(stored, kind, exif=exif, **options), f"a.{kind.lower()}", size=size)
    assert image.shape[1:] == ((40, 60) if size is None else (size, size))
    assert np.abs(corners(image) - QUARTERS).max() <= 4


def test_damaged_exif_is_no_reason_to_refuse_a_picture(tmp_path):
    cut_short = b"Exif\0\0II*\0\x08\0\0\0\x05\0"
    assert one(tmp_path, encode(quarters(), "JPEG", exif=cut_short), "a.jpg").shape == (3, 40, 60)


def test_grey_of_every_depth(tmp_path):
    grey = Image.new("L", (8, 8), 100)
    assert middle(tmp_path / "l", encode(grey)) == [100]
    assert middle(tmp_path / "jpeg", encode(grey, "JPEG"), "a.jpg") == [100]
    assert middle(tmp_path / "one", encode(Image.new("1", (8, 8), 1))) == [255]
    assert middle(tmp_path / "none", encode(Image.new("1", (8, 8), 0))) == [0]
    deep = Image.fromarray(np.full((8, 8), (200 << 8) + 77, np.uint16))
    assert middle(tmp_path / "deep", encode(deep)) == [200]
    assert middle(tmp_path / "deep-tif", encode(deep, "TIFF"), "a.tif", size=4) == [200]
    assert middle(tmp_path / "colour", encode(deep), colour="rgb", size=4) == [200, 200, 200]
    with pytest.raises(Refusal, match="no scale"):
        one(tmp_path / "float", encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "a.tif")


def test_alpha_is_laid_over_white(tmp_path):
    assert middle(tmp_path / "clear", encode(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))) == [255, 255, 255]
    assert middle(tmp_path / "la", encode(Image.new("LA", (8, 8), (0, 128)))) == [127]
    part = middle(tmp_path / "part", encode(Image.new("RGBA", (8, 8), (200, 100, 0, 51))))  # a fifth of it
    assert part == [round(255 + (value - 255) * 0.2) for value in (200, 100, 0)]
    webp = encode(Image.new("RGBA", (8, 8), (200, 100, 0, 51)), "WEBP", lossless=True)
    assert middle(tmp_path / "webp", webp, "a.webp", size=4) == part


def test_palettes_and_their_transparent_colour(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 200, 30, 1, 2, 3])
    image.paste(0, (0, 0, 8, 8))
    assert middle(tmp_path / "palette", encode(image)) == [10, 200, 30]
    assert middle(tmp_path / "clear", encode(image, transparency=0)) == [255, 255, 255]
    assert middle(tmp_path / "half", encode(image, transparency=bytes([128, 255]))) == [132, 227, 142]
    assert middle(tmp_path / "gif", encode(image, "GIF", transparency=0), "a.gif") == [255, 255, 255]
    rgb = Image.new("RGB", (8, 8), (9, 9, 9))
    assert middle(tmp_path / "key", encode(rgb, transparency=(9, 9, 9))) == [255, 255, 255]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_a_film(tmp_path, kind):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ((250, 10, 10), (10, 250, 10), (10, 10, 250))]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.abs(np.array(middle(tmp_path, data, f"a.{kind.lower()}", size=8)) - (250, 10, 10)).max() <= 3


def test_cmyk_as_adobe_stores_it(tmp_path):
    """Adobe writes 255 − ink; a 2 at the end of its marker says YCCK, where 255 − what is written for CMY is YCbCr."""
    ink = (0, 51, 102, 25)
    expected = np.array([(255 - c) * (255 - ink[3]) / 255 for c in ink[:3]])
    data = encode(Image.new("CMYK", (8, 8), ink), "JPEG", quality=100)
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0, "an Adobe marker that says plain CMYK"
    assert np.abs(np.array(middle(tmp_path / "cmyk", data, "a.jpg")) - expected).max() <= 2
    light = Image.new("RGB", (1, 1), ink[:3]).convert("YCbCr").getpixel((0, 0))
    ycck = bytearray(encode(Image.new("CMYK", (8, 8), (*(255 - v for v in light), ink[3])), "JPEG", quality=100))
    ycck[marker + 11] = 2
    assert np.abs(np.array(middle(tmp_path / "ycck", bytes(ycck), "a.jpg", size=4)) - expected).max() <= 3


def test_progressive_is_as_baseline(tmp_path):
    smooth = Image.fromarray(noise(64, 64)).filter(ImageFilter.GaussianBlur(2))
    one_, two = (encode(smooth, "JPEG", quality=90, progressive=p) for p in (False, True))
    assert one_ != two and torch.equal(one(tmp_path / "1", one_, "a.jpg"), one(tmp_path / "2", two, "a.jpg"))


@pytest.mark.parametrize(("height", "width"), [(1, 3000), (3000, 1), (1, 1), (2, 3), (64, 65), (7, 900)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_extreme_shapes(tmp_path, height, width, kind):
    image = one(tmp_path, encode(Image.new("RGB", (width, height), (10, 200, 30)), kind), f"a.{kind}", size=64)
    assert image.shape == (3, 64, 64) and (image.float().flatten(1).std(1) == 0).all()
    assert np.abs(image[:, 0, 0].numpy().astype(int) - (10, 200, 30)).max() <= 3


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize(("kind", "scale"), [("PNG", 1), ("PNG", 10), ("JPEG", 10)])
def test_the_centred_square_of_the_shorter_side_is_taken(tmp_path, kind, scale, turn):
    """Blue beside, red within; the square is split in halves, so its middle shows too."""
    array = np.full((20 * scale, 50 * scale, 3), (0, 0, 255), np.uint8)
    array[:, 15 * scale : 35 * scale] = (255, 0, 0)
    array[:, 25 * scale : 35 * scale] = (255, 255, 0)
    image = Image.fromarray(array.transpose(1, 0, 2) if turn else array)
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    shown = one(tmp_path, encode(image, kind, **options), f"a.{kind}", size=20).permute(1, 2, 0).int()
    shown = (shown.transpose(0, 1) if turn else shown).numpy()
    assert np.abs(shown[:, 1:9] - (255, 0, 0)).max() <= 12 and np.abs(shown[:, 11:19] - (255, 255, 0)).max() <= 12
    assert shown[..., 2].max() <= (0 if kind == "PNG" else 40), "nothing from beside the square"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_picture_is_averaged_as_pillow_resizes_it(tmp_path, kind):
    """Pillow's one-step antialiased resize is the reference for decoding at a fraction and averaging areas."""
    seed = np.random.default_rng(3).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    large = Image.fromarray(seed).resize((740, 1000), Image.Resampling.BICUBIC)
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image = one(tmp_path, encode(large, kind, **options), f"a.{kind}", size=32)
    expected = large.crop((0, 130, 740, 870)).resize((32, 32), Image.Resampling.BILINEAR)
    difference = np.abs(image.permute(1, 2, 0).numpy().astype(int) - np.asarray(expected))
    # A JPEG's square may begin half a decoded pixel beside the middle: an eighth of a pixel of what is made.
    assert difference.max() <= (3 if kind == "PNG" else 12) and difference.mean() <= (0.6 if kind == "PNG" else 2.5)


def test_grey_first_then_colour_becomes_colour(tmp_path):
    for number in range(12):
        (tmp_path / f"{number:02}.png").write_bytes(png(noise(9, 9, channels=1 if number < 11 else 3)))
    images = load(tmp_path).images
    assert images.shape == (12, 3, 9, 9)
    expected = np.asarray(Image.open(tmp_path / "10.png"))
    assert all(np.array_equal(channel.numpy(), expected) for channel in images[10])
    assert not torch.equal(images[11, 0], images[11, 1])


@pytest.mark.parametrize("size", [32, 64, 128])
def test_sizes_and_channels(tmp_path, size):
    for number, (height, width) in enumerate([(40, 60), (300, 200), (128, 128)]):
        channels = 1 if number == 0 else 3
        (tmp_path / f"{number}.png").write_bytes(png(noise(height, width, channels)))
    grey, rgb = (load(tmp_path, size=size, colour=colour).images for colour in ("grey", "rgb"))
    assert grey.shape == (3, 1, size, size) and rgb.shape == (3, 3, size, size)
    assert torch.equal(rgb[0, 0], rgb[0, 2]) and torch.equal(rgb[0, 0], grey[0, 0])
    luma = (rgb[1].float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
    assert (luma - grey[1, 0].float()).abs().max() <= 2


def everything(folder):
    """A flat folder as people have them: 9 good pictures, 4 broken, and what is left alone."""
    photo = quarters(200, 300)
    exif = Image.Exif()
    exif[0x0112] = 6
    good = {
        "a.JPG": encode(photo, "JPEG"),
        "b.Png": encode(photo.convert("LA")),
        "c.jpeg": encode(photo.convert("CMYK"), "JPEG", quality=95),
        "d.jpg": encode(photo.transpose(TURN.ROTATE_90), "JPEG", exif=exif),
        "e.png": encode(photo.convert("RGBA")),
        "f.gif": encode(photo, "GIF", save_all=True, append_images=[photo.rotate(90)]),
        "g.jpg": encode(photo, "JPEG", progressive=True),
        "h.png": encode(photo.convert("L")),
        "i.PNG": encode(quarters(2, 600)),
    }
    broken = {
        "j.jpg": b"",
        "k.jpg": encode(Image.fromarray(noise(300, 400)), "JPEG")[:9000],
        "l.jpg": b"This is a letter, not a picture.\n",
        "m.png": encode(photo)[:200],
    }
    for name, data in (good | broken | {"notes.txt": b"text", ".hidden.jpg": b"no", "._a.JPG": b"no"}).items():
        (folder / name).write_bytes(data)
    (folder / ".thumbs").mkdir()
    (folder / ".thumbs" / "a.jpg").write_bytes(b"no")
    return good, broken


def test_a_flat_folder_of_everything(tmp_path):
    good, broken = everything(tmp_path)
    images, names = load_named(tmp_path, size=64, colour="rgb", skip_broken=True)
    assert names == list(good) and images.images.shape == (9, 3, 64, 64) and images.labels is None
    for name in ("a.JPG", "c.jpeg", "d.jpg", "e.png", "f.gif", "g.jpg"):
        assert np.abs(corners(images.images[names.index(name)]) - QUARTERS).max() <= 10, name
    unread = f"{tmp_path.name}: not read: 3 hidden, 1 of .txt; 1 further page(s) in 1 GIF file(s)."
    assert images.notes == (
        unread,
        f"4 broken picture(s) in {tmp_path} left out: j.jpg, k.jpg, l.jpg and 1 more.",
    )
    with pytest.raises(Refusal) as refused:
        load(tmp_path, size=64, colour="rgb")
    assert "j.jpg is no picture that can be read (it is empty)" in str(refused.value)
    for name, why in {"k.jpg": "truncated", "l.jpg": "its format is none that is known", "m.png": "truncated"}.items():
        with pytest.raises(Refusal, match=rf"{name} is no picture that can be read \(.*{why}.*--skip-broken"):
            one(tmp_path / f"only-{name}", broken[name], name, size=64)


def test_pictures_in_one_nested_folder(tmp_path):
    write_pictures(tmp_path / "2024" / "summer", 2)
    write_pictures(tmp_path / "2024" / "winter" / "snow", 2)
    images, names = load_named(tmp_path, size=8)
    assert images.labels is None
    assert names == [f"2024/{n}.png" for n in ("summer/000", "summer/001", "winter/snow/000", "winter/snow/001")]


def claims(width, height):
    """A PNG whose header claims so many pixels and whose data are a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_decompression_bombs_are_refused(tmp_path, monkeypatch):
    with pytest.raises(Refusal, match=r"a\.png is no picture .*claims more than 178,956,970 pixels, as a decompress"):
        one(tmp_path, claims(50_000, 50_000), size=64)
    (tmp_path / "b.png").write_bytes(png(noise()))
    images = load(tmp_path, size=8, skip_broken=True)
    assert len(images) == 1 and "a.png" in images.notes[0]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns from this on and refuses twice as many
    assert len(load(tmp_path, size=8, skip_broken=True)) == 1, "a large photo is no bomb, and warns of nothing"


@pytest.mark.parametrize("size", [None, 8])
def test_few_pictures_are_in_memory_at_one_time(tmp_path, monkeypatch, size):
    write_pictures(tmp_path, 60, 40, 40)
    alive, most = set(), 0

    def spy(data, *options):
        nonlocal most
        image = decode(data, *options)
        alive.add(id(image.pixels))
        weakref.finalize(image.pixels, alive.discard, id(image.pixels))
        most = max(most, len(alive))
        return image

    monkeypatch.setattr(pictures, "decode", spy)
    monkeypatch.setattr(pictures, "THREADS", 2)
    assert len(load(tmp_path, size=size)) == 60
    assert 0 < most <= (4 if size is None else 4 * pictures.GROUP)


@pytest.mark.parametrize("size", [8, 28])
def test_one_picture_does_not_depend_on_its_neighbours_or_threads(tmp_path, monkeypatch, size):
    for number, side in enumerate((33, 40, 33, 50, 40, 28, 200)):
        (tmp_path / f"{number}.png").write_bytes(png(noise(side, side)))
    together = load(tmp_path, size=size).images
    monkeypatch.setattr(pictures, "THREADS", 1)
    monkeypatch.setattr(pictures, "GROUP", 1)
    assert torch.equal(load(tmp_path, size=size).images, together)
    assert all(torch.equal(one(tmp_path / f"{n}", (tmp_path / f"{n}.png").read_bytes(), size=size), together[n])
               for n in range(7))  # fmt: skip


# --- formats ----------------------------------------------------------------------------------------------------------


def test_the_table_of_suffixes_is_pillows():
    Image.init()
    known = {suffix: kind for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    table = {suffix: kind for kind, suffixes in formats.SUFFIXES.items() for suffix in suffixes}
    assert {suffix: known[suffix] for suffix in table if suffix in known} == {s: table[s] for s in table if s in known}
    assert pictures.is_picture("A.JPE") and not pictures.is_picture("a.eps") and not pictures.is_picture("a.psd")


WRITTEN = {
    ".jpe": ("JPEG", 12), ".JPE": ("JPEG", 12), ".tga": ("TGA", 0), ".jp2": ("JPEG2000", 2), ".pbm": ("PPM", 255),
    ".pnm": ("PPM", 0), ".dib": ("DIB", 0), ".apng": ("PNG", 0), ".mpo": ("JPEG", 12), ".WebP": ("WEBP", 12),
    ".avif": ("AVIF", 12), ".heic": ("HEIF", 12), ".HEIF": ("HEIF", 12),
}  # fmt: skip


@pytest.mark.parametrize("suffix", WRITTEN)
def test_pictures_of_every_format_are_read(tmp_path, suffix):
    kind, most = WRITTEN[suffix]
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    picture = quarters(64, 64).convert("1" if suffix == ".pbm" else "RGB")
    image = one(tmp_path, encode(picture, kind), f"a{suffix}", colour="rgb")
    assert image.shape == (3, 64, 64) and np.abs(corners(image) - QUARTERS).max() <= most


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000", "AVIF"])
def test_a_picture_without_a_suffix_is_known_by_its_first_bytes(tmp_path, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    folder = tmp_path / "pets"
    for name in ("cat", "dog"):  # of which the one would be no class
        (folder / name).mkdir(parents=True)
    (folder / "cat" / "0a1b2c").write_bytes(encode(quarters(), kind))
    (folder / "dog" / "a.png").write_bytes(encode(quarters()))
    for name, text in {"LICENSE": "BMW, by Permission", "notes": "P5 is a road", "empty": ""}.items():
        (folder / "dog" / name).write_text(text)
    images = load(folder, size=8)
    assert images.classes == ("cat", "dog") and images.notes == ("pets: not read: 3 without a suffix.",)


def test_what_must_be_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "openable", lambda: ("PNG", "JPEG"))
    for name, needs in {
        "a.heic": r"the extra heif \(pip install 'genshift\[heif\]'\)",
        "b.AVIF": "Pillow 11.3",
    }.items():
        with pytest.raises(Refusal, match=rf"{name} is no picture that can be read \(it needs {needs}.*--skip-broken"):
            one(tmp_path / name[0], b"....ftyp", name)
    (tmp_path / "a" / "b.png").write_bytes(png(noise()))
    assert "1 broken picture(s)" in load(tmp_path / "a", skip_broken=True).notes[0]


def test_further_pages_and_frames_are_counted(tmp_path):
    frames = [Image.fromarray(noise()) for _ in range(4)]
    for name, kind, count in (("a.tif", "TIFF", 4), ("b.tiff", "TIFF", 3), ("c.tif", "TIFF", 1), ("d.gif", "GIF", 3),
                              ("e.png", "PNG", 2), ("f.webp", "WEBP", 4), ("g.png", "PNG", 1)):  # fmt: skip
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:count])
        (tmp_path / name).write_bytes(data)
        assert formats.further_pages(data)[1] == count - 1, name
    further = [f"{n} further page(s) in {m} {kind} file(s)" for n, m, kind in
               ((2, 1, "GIF"), (1, 1, "PNG"), (5, 2, "TIFF"), (3, 1, "WEBP"))]  # fmt: skip
    assert load(tmp_path).notes == (f"{tmp_path.name}: not read: {', '.join(further)}.",)
    pages = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:2])
    single = len(encode(frames[0], "TIFF"))
    for torn in (single, len(pages) - 100):  # a broken page is one that is not read, and hurts not the first
        one(tmp_path / f"{torn}", pages[:torn], "a.tif")
        assert "not read: 1 further page(s) in 1 TIFF file(s)." in load(tmp_path / f"{torn}").notes[0]


# --- formats and bounds -----------------------------------------------------------------------------------------------

# Each is opened by Pillow, whatever its name: the first runs Ghostscript, the others are no rasters, or rare ones.
STRANGERS = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n",
    "dos eps": struct.pack("<4sIIIIIII", b"\xc5\xd0\xd3\xc6", 32, 99, 0, 0, 0, 0, 0)
    + b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n",
    "xpm": b'/* XPM */\nstatic char *a[] = {\n"2 1 1 1",\n"a c #ff0000",\n"aa"\n};\n',
}


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("place", ["folder", "zip", "tar", "predict"])
def test_what_is_called_png_and_is_none_starts_nothing(kind, place, tmp_path, monkeypatch):
    def run(*args, **options):
        pytest.fail("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    members = {"a.png": png(noise()), "b.png": STRANGERS[kind]}
    if place == "predict":
        (tmp_path / "b.png").write_bytes(members["b.png"])
        with pytest.raises(Refusal, match=r"b\.png is no picture"):
            genshift.model._decoded(tmp_path / "b.png", 8, USUAL)
        return
    where = tmp_path / {"folder": "set", "zip": "set.zip", "tar": "set.tar.gz"}[place]
    if place == "folder":
        where.mkdir()
        for name, data in members.items():
            (where / name).write_bytes(data)
    else:
        (write_zip if place == "zip" else write_tar)(where, members)
    with pytest.raises(Refusal, match=r"b\.png is no picture .*its format is none that is known"):
        load(where)


@pytest.mark.parametrize("kind", ["JPEG2000", "TGA", "MPO", "AVIF", "PPM", "BMP", "DIB"])
def test_rasters_are_read_as_before(kind, tmp_path):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    shown = one(tmp_path, encode(quarters(), kind), "a.png")
    assert shown.shape == (3, 40, 60) and np.abs(corners(shown) - QUARTERS).max() <= 12


def refuses(monkeypatch, path, kind, bound, words, **options):
    """`path` reads; with a lower bound it is refused by a sentence that names the variable; with a higher it reads."""
    variable = f"GENSHIFT_MAX_{kind.upper()}"
    monkeypatch.setenv(variable, str(bound))
    with pytest.raises(Refusal, match=f"{words}.*{variable}"):
        load(path, **options)
    monkeypatch.setenv(variable, "100_000_000".replace("_", ""))
    assert len(load(path, **options))


def test_bounds_are_named_and_the_user_raises_them(tmp_path, monkeypatch):
    members = {f"{number}.png": png(noise(20, 20)) for number in range(3)}
    write_zip(tmp_path / "a.zip", members)
    write_tar(tmp_path / "a.tar.gz", members)
    write_pictures(tmp_path / "a", 2, 20, 20)
    for path in (tmp_path / "a", tmp_path / "a.zip", tmp_path / "a.tar.gz"):
        refuses(monkeypatch, path, "pixels", 399, r"more than 399 pixels|bytes, and at most 3,192")
    for path in (tmp_path / "a.zip", tmp_path / "a.tar.gz"):
        refuses(monkeypatch, path, "members", 2, "has 3 members or more, and at most 2")
    refuses(monkeypatch, tmp_path / "a.tar.gz", "bytes", 2000, "unpacked, has .* bytes or more, and at most 2,000")
    for name, data in {
        "idx3-ubyte": gzip.compress(idx_bytes(np.zeros((2, 99, 99)))),
        "x.bz2": bz2.compress(libsvm_text(3)),
    }.items():
        (tmp_path / name).write_bytes(data)
        refuses(monkeypatch, tmp_path / name, "bytes", 2000, "unpacked, has .* bytes or more, and at most 2,000")
    scipy.io.savemat(
        tmp_path / "a.mat", {"X": np.ones((32, 32, 3, 2), np.uint8), "y": np.ones((2, 1))}, do_compression=True
    )
    refuses(monkeypatch, tmp_path / "a.mat", "bytes", 6143, "X of .*a.mat has 6,144 bytes or more")
    for wrong in ("many", "0", "-1", "1e9"):
        monkeypatch.setenv("GENSHIFT_MAX_PIXELS", wrong)
        with pytest.raises(Refusal, match=f"GENSHIFT_MAX_PIXELS is '{wrong}' .*expected a whole number above 0"):
            load(tmp_path / "a")


def test_a_bound_above_pillows_own_holds_for_pillow_too(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    write_pictures(tmp_path / "a", 1, 20, 20)
    with pytest.raises(Refusal, match="is no picture"):
        load(tmp_path / "a")
    monkeypatch.setenv("GENSHIFT_MAX_PIXELS", "400")
    assert len(load(tmp_path / "a")) == 1


@pytest.mark.parametrize("lies", ["zip", "folder"])
def test_a_file_that_claims_gigabytes_is_refused_before_it_is_read(lies, tmp_path, monkeypatch):
    """A member that says 8 GB of zeros, and a file of as many that takes no room."""
    monkeypatch.setattr(bounds, "BYTES_A_PIXEL", 1)
    if lies == "zip":
        data = write_zip(tmp_path / "a.zip", {"a.png": png(noise())}).read_bytes()
        entry = data.index(b"PK\x01\x02")
        (tmp_path / "a.zip").write_bytes(data[: entry + 24] + struct.pack("<I", 2**32 - 2) + data[entry + 28 :])
        path = tmp_path / "a.zip"
    else:
        path = tmp_path / "a"
        path.mkdir()
        with (path / "a.png").open("wb") as file:
            file.truncate(2**33)
    with pytest.raises(Refusal, match=r"a\.png has .* bytes, and at most 178,956,970 .*GENSHIFT_MAX_PIXELS"):
        load(path)


# --- memory and threads that run out ----------------------------------------------------------------------------------

ENDS = {
    "no memory": (MemoryError(), "memory ran out"),
    "numpy": (MemoryError("Unable to allocate 7.45 GiB for an array"), "7.45 GiB were asked for, and memory ran out"),
    "torch": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to "
                     "allocate 8000000000 bytes. Error code 12 (Cannot allocate memory)"),
        "8000000000 bytes were asked for, and memory ran out",
    ),
    "cuda": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "2.00 GiB were asked for, and"),
    "threads": (RuntimeError("can't start new thread"), "starts no more threads or processes; give --threads 1"),
    "loader": (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "memory ran out"),
    "fork": (BlockingIOError(11, "Resource temporarily unavailable"), "starts no more threads or processes"),
    "map": (OSError(12, "Cannot allocate memory"), "memory ran out"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDS)
def test_an_end_for_want_of_memory_or_threads_is_a_sentence(kind, tmp_path, monkeypatch, capfd):
    error, words = ENDS[kind]

    def end(*args, **options):
        raise error

    monkeypatch.setattr(genshift.data.check, "load", end)
    assert words in refused(capfd, "data", "check", "uci", "--out", tmp_path / "sheet.png")


def test_another_error_stays_one(tmp_path, monkeypatch):
    def end(*args, **options):
        raise RuntimeError("a fault of genshift's own")

    monkeypatch.setattr(genshift.data.check, "load", end)
    with pytest.raises(RuntimeError, match="own"):
        main.main(["data", "check", "uci", "--out", str(tmp_path / "sheet.png")])


def test_a_picture_too_large_for_memory_is_named(tmp_path, monkeypatch, capfd):
    write_pictures(tmp_path / "a", 2)

    def end(*args, **options):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "crop", end)
    assert "decoding" in (said := refused(capfd, "data", "check", tmp_path / "a", "--size", 8)) and "000.png: m" in said
    monkeypatch.setattr(pictures.torch, "empty", end)
    assert "GiB of room for 2 pictures: memory ran out" in refused(capfd, "data", "check", tmp_path / "a")


# --- depth ------------------------------------------------------------------------------------------------------------


def deep(highest, height=8, width=8):
    """16-bit grey values from 0 to `highest`."""
    return Image.fromarray(np.linspace(0, highest, height * width).reshape(height, width).astype(np.uint16))


def deep_colours(highest):
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    rows = np.linspace(0, highest, 8 * 8 * 3).reshape(8, 24).astype(">u2")
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("highest", "bits"), [(4095, 12), (1023, 10), (255, 8), (16383, 14), (1, 1)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_depth_below_16_bits_is_asked_for(highest, bits, kind, tmp_path):
    name = f"a.{kind.lower()}"
    with pytest.raises(Refusal, match=rf"reach {highest:,} of 65,535 at most: give --depth {bits} if .*--depth 16 if"):
        one(tmp_path, encode(deep(highest), kind), name)
    shown = load(tmp_path, depth=bits).images
    assert (int(shown.min()), int(shown.max())) == (0, 255)
    assert len(shown.unique()) == min(64, highest + 1), "every value of its own is kept, as far as 8 bits do"
    assert int(load(tmp_path, depth=16).images.max()) == highest >> 8
    if bits > 1:
        with pytest.raises(Refusal, match=f"its values reach {highest:,}, and --depth {bits - 1} holds 0 to"):
            load(tmp_path, depth=bits - 1)


def test_16_bits_that_are_used_are_taken_as_before(tmp_path):
    assert int(one(tmp_path, encode(deep(65535))).max()) == 255 and load(tmp_path).notes == ()
    for wrong in (-1, 17, 2.5):
        with pytest.raises(Refusal, match="A depth of"):
            load(tmp_path, depth=wrong)


def test_depths_side_by_side_are_told(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(deep(65535)))
    (tmp_path / "b.png").write_bytes(encode(Image.fromarray(noise(8, 8, 1))))
    (tmp_path / "c.png").write_bytes(encode(deep(4095)))
    notes = load(tmp_path).notes
    assert f"2 of 3 pictures in {tmp_path} have 16 bits, the others 8" in notes[0]
    assert "1 of 3 pictures" in notes[1] and "reach no more than 4,095, others 65,535" in notes[1]
    (tmp_path / "a.png").unlink()
    with pytest.raises(Refusal, match=r"1 of 2 pictures .* have 16 bits and reach 4,095"):
        load(tmp_path)


def test_16_bit_colours_that_use_12_are_told_too(tmp_path):
    """Of these Pillow keeps the high byte: 16 levels of them, whatever depth is given."""
    assert one(tmp_path, deep_colours(65535)).max() == 255
    with pytest.raises(Refusal, match="have 16 bits and reach 4,095 of 65,535 at most"):
        one(tmp_path, deep_colours(4095))
    with pytest.raises(Refusal, match=r"--depth is for grey pictures, .*save it with 8 bits"):
        load(tmp_path, depth=12)
    assert load(tmp_path, depth=16).images.max() == 15


# --- transparent parts, and rectangles that are padded ----------------------------------------------------------------


def test_what_lies_under_transparent_parts_is_chosen_and_told(tmp_path):
    icon = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    icon.paste((255, 255, 255, 255), (2, 2, 6, 6))
    (tmp_path / "a.png").write_bytes(encode(icon))
    (tmp_path / "b.png").write_bytes(png(noise(8, 8)))
    images = load(tmp_path)
    assert (images.images[0] == 255).all(), "white, as ever"
    assert images.notes == (f"1 of 2 pictures in {tmp_path} have transparent parts, laid over white (--background).",)
    for background, value in {"black": 0, "grey": 128}.items():
        shown = load(tmp_path, background=background).images[0]
        assert (shown[:, 0, 0] == value).all() and (shown[:, 4, 4] == 255).all()
    with pytest.raises(Refusal, match="no background 'blak': did you mean 'black'"):
        load(tmp_path, background="blak")


PADDED = {"RGB": "PNG", "L": "PNG", "1": "PNG", "P": "PNG", "RGBA": "PNG", "LA": "PNG", "CMYK": "TIFF", "YCbCr": "JPEG",
          "I;16": "PNG", "LAB": "TIFF"}  # fmt: skip


@pytest.mark.parametrize("mode", PADDED)
@pytest.mark.parametrize("scale", [1, 10])
def test_a_padded_rectangle_loses_nothing_and_gains_black(mode, scale, tmp_path):
    """A light picture, lighter at both ends: they stay, and what is added is black in every mode."""
    height, width = 10 * scale, 40 * scale
    grey = np.full((height, width), 130, np.uint8)
    grey[:, : 4 * scale] = grey[:, -4 * scale :] = 250
    image = Image.fromarray(grey.astype(np.uint16) << 8) if mode == "I;16" else Image.fromarray(grey)
    if mode == "LAB":
        image = Image.merge("LAB", (image, *(Image.new("L", image.size, 128),) * 2))
    elif mode != "I;16":
        image = image.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "P") else image.convert(mode)
    data = encode(image, PADDED[mode], **({"quality": 95} if PADDED[mode] == "JPEG" else {}))
    shown = one(tmp_path, data, f"a.{PADDED[mode]}", size=20, colour="grey", fit="pad")[0].int()
    assert shown.shape == (20, 20)
    assert (shown[:7] == 0).all() and (shown[13:] == 0).all(), "black above and below"
    middle = shown[9:11]
    assert (middle[:, :1] > 230).all() and (middle[:, -1:] > 230).all(), "both ends are there"
    if mode not in ("1", "LAB"):
        assert (abs(middle[:, 5:15] - 130) <= 6).all()
    cut = load(tmp_path, size=20, colour="grey").images[0, 0].int()
    assert mode == "1" or cut.min() > 0, "and cropped, as ever, all of the square is of the picture"


def test_a_strip_is_padded_without_a_square_of_its_length(tmp_path):
    strip = Image.new("RGB", (60_000, 1), (250, 250, 250))
    shown = one(tmp_path, encode(strip), size=32, fit="pad")
    assert shown[:, 15:17].max() > 60 and (shown[:, :12] == 0).all() and (shown[:, 20:] == 0).all()


def test_what_has_its_own_rule_is_padded_too(tmp_path):
    """CelebA's cut is of its faces: padded, all of a picture is there. Packed rectangles are no longer stretched."""
    write_celeba(tmp_path)
    assert (load("celeba", data_root=tmp_path, size=32, fit="pad").images[:, :, :, :2] == 0).all()
    assert (load("celeba", data_root=tmp_path, size=32).images[:, :, :, :2] > 0).any()
    folder = tmp_path / "wide"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(quarters(32, 64)))
    pack(load(folder), tmp_path / "packed")
    for fit in ("crop", "pad"):
        packed, read = (load(path, size=16, fit=fit).images for path in (tmp_path / "packed", folder))
        assert (packed.int() - read.int()).abs().max() <= 1
    with pytest.raises(Refusal, match="no fit 'stretch': expected one of crop, pad"):
        load(folder, fit="stretch")
