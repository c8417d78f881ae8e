"""A flat folder of whatever pictures people have: right colours, upright, square; what is broken is named."""

import io
import struct
import weakref
import zlib

import numpy as np
import pytest
import torch
from data_files import noise, png, write_pictures
from PIL import Image, ImageFilter, features

from genshift.data import formats, load, load_named, pictures
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
