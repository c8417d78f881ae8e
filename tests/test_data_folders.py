"""A user's own pictures: layouts, kinds of pictures, sizes, and what is refused."""

import io
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from data_files import noise, png, write_mnist, write_pictures, write_svhn, write_tar, write_zip
from PIL import Image

from genshift.cli import main
from genshift.data import load, load_named, room
from genshift.errors import Refusal
from genshift.training.domains import evaluation_split, in_classes


def classes(root, names=("cat", "dog"), count=3):
    for name in names:
        write_pictures(root / name, count)
    return root


def test_class_folders(tmp_path):
    images, names = load_named(classes(tmp_path / "pets"))
    assert images.name == "pets" and images.classes == ("cat", "dog")
    assert images.images.shape == (6, 3, 32, 32) and images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert names == [f"{c}/00{n}.png" for c in ("cat", "dog") for n in range(3)]
    first = np.asarray(Image.open(tmp_path / "pets" / names[0])).transpose(2, 0, 1)
    assert np.array_equal(images.images[0].numpy(), first)
    sealed = load(tmp_path / "pets", labels=False)
    assert sealed.labels is None and sealed.classes == () and torch.equal(sealed.images, images.images)


def test_numbered_class_folders_keep_their_order(tmp_path):
    assert load(classes(tmp_path, ("10", "9", "0"))).classes == ("0", "9", "10")


def test_flat_folder_and_limit(tmp_path):
    images, names = load_named(write_pictures(tmp_path / "flat", 5), limit=2)
    assert len(images) == 2 and images.labels is None and names == ["000.png", "001.png"]
    assert load(tmp_path / "flat", "all").images.shape[0] == 5


@pytest.mark.parametrize("where", ["labels", "any", "beside", "given"])
def test_folder_with_csv(tmp_path, where):
    folder = write_pictures(tmp_path / "set", 3)
    text = "image_name,label\n002.png,7\n000.png,1\n"
    path = {"labels": folder / "labels.csv", "any": folder / "x.csv", "beside": tmp_path / "set.csv"}.get(where)
    path = path or folder / "chosen.csv"
    path.write_text(text)
    if where == "given":
        (folder / "other.csv").write_text("else")
    images, names = load_named(path if where == "given" else folder)
    assert images.labels.tolist() == [1, 0] and names == ["002.png", "000.png"]
    assert images.classes == ("1", "7"), "a number that does not occur is no class, as with folders"


def test_csv_of_words_and_one_csv_a_split(tmp_path):
    write_pictures(tmp_path / "data", 4)
    (tmp_path / "train.csv").write_text("image_name,label\n000.png,b\n001.png,a\n")
    (tmp_path / "test.csv").write_text("image_name,label\n003.png,a\n")
    train, test = (load(tmp_path, split) for split in ("train", "test"))
    assert train.classes == ("a", "b") and train.labels.tolist() == [1, 0] and len(test) == 1


def test_a_csv_of_other_things_or_of_predictions_gives_no_labels(tmp_path):
    """Predictions beside the pictures that they are of must not come back as their truth."""
    flat = write_pictures(tmp_path / "flat")
    written = "image_name,label,confidence\n000.png,cat,0.9\ngone.png,dog,0.8\n"
    for where in (flat / "labels.csv", flat / "out.csv", tmp_path / "flat.csv"):
        where.write_text(written)
        assert load(flat).labels is None
        with pytest.raises(Refusal, match="has no part 'test'"):
            load(flat, "test")
        where.unlink()
    for folder, labelled in ((flat, False), (classes(tmp_path / "pets"), True)):
        (folder / "meta.csv").write_text("file,camera\n000.png,a\n")
        (folder / "more.csv").write_text("file,owner\n000.png,b\n")
        assert load(folder, labels=False).labels is None
        (folder / "more.csv").unlink()
        assert load(folder, labels=False).labels is None
        # Class folders tell more; where there are none, two columns of which one names pictures are labels.
        assert load(folder).labels.tolist() == ([0, 0, 0, 1, 1, 1] if labelled else [0])
        assert load_named(folder, labels="any")[0].labels is None or labelled
        (folder / "meta.csv").write_text("file,camera,lens\n000.png,a,x\n")
        if not labelled:
            with pytest.raises(Refusal, match="expected the header 'image_name,label'; add it, or give two columns"):
                load(folder)


def test_split_subfolders(tmp_path):
    classes(tmp_path / "train", count=2)
    classes(tmp_path / "val", count=1)
    assert len(load(tmp_path)) == 4 and len(load(tmp_path, "valid")) == 2
    with pytest.raises(Refusal, match="no part 'test': it has train, val"):
        load(tmp_path, "test")
    with pytest.raises(Refusal, match="no part 'test': put its pictures into"):
        load(write_pictures(tmp_path / "flat"), "test")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_of_pictures(tmp_path, kind):
    members = {f"pets/{c}/{n}.png": png(noise()) for c in ("cat", "dog") for n in range(2)}
    path = (write_zip if kind == "zip" else write_tar)(tmp_path / f"pets.{kind}", members)
    images = load(path)
    assert images.classes == ("cat", "dog") and images.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image_name,label\n000.png,1\n9.png,1\n", r"names '9\.png' in line 3, which is not in"),
        ("image_name,label\n000.png,-1\n", "gives the label -1: expected whole numbers from 0"),
        ("image_name,label\n000.png,99999999\n", "gives the label 99999999"),
        ("image_name,label\n000.png,--5\n", "gives the label --5: expected whole numbers from 0 to 9,999, or words"),
        (f"image_name,label\n000.png,{'9' * 5000}\n", f"gives the label {'9' * 40}: expected"),
        ('image_name,label\n000.png,1\n"001.png,2\n', r"cannot be read from line 3 on \(unexpected end of data\)"),
        (f'image_name,label\n"000.png,1\n{"x" * 140_000}', r"from line 2 on \(field larger .*close the quote"),
        ("image_name,label\n000.png,\n", "no label in line 2"),
        (
            "image_name,label\n000.png,cat\n001.png,cat, grey\n",
            r"more in line 3 \('001\.png,cat, grey'\) than its head",
        ),
        ("image_name,label\n000.png,1\n000.png,1\n", "twice, again in line 3"),
        ("image_name,label\n", "names no picture"),
        ("000,1\n", "begins with '000,1', and neither of its columns names pictures: expected the header"),
        ("a.png,b.png\n", "begins with 'a.png,b.png', and both of its columns name pictures: expected the header"),
        ("c,d;000.png\n", "may be parted by commas or by semicolons: in both cases a column names pictures"),
        ("path,label,more\n000.png,1,x\n", "begins with 'path,label,more': expected the header"),
        ("path;kind\n9.png;1\n", r"names '9\.png' in line 2, which is not in"),
        ("9.png;1\n", r"names '9\.png' in line 1, which is not in"),
        ("/nowhere/000.png,1\n", r"names '/nowhere/000\.png' in line 1, which is not in"),
        ("", "expected the header"),
        ("image_name,label\n../../000.png,1\n", "which is not in"),
    ],
)
def test_bad_csv(tmp_path, text, words):
    (write_pictures(tmp_path / "set") / "labels.csv").write_text(text)
    with pytest.raises(Refusal, match=words):
        load(tmp_path / "set")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["", "path{}label\n", "Bild{}Sorte\n", "image_name{}label\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_any_csv_of_two_columns_is_read(tmp_path, delimiter, header, quote):
    folder = write_pictures(tmp_path / "set", 3)
    rows = "".join(f"{quote}00{n}.png{quote}{delimiter}{quote}{word}{quote}\n" for n, word in ((2, "b"), (0, "a")))
    (folder / "labels.csv").write_text(header.format(delimiter) + rows)
    images, names = load_named(folder)
    assert images.classes == ("a", "b") and images.labels.tolist() == [1, 0] and names == ["002.png", "000.png"]
    told = [note for note in images.notes if "so it is read" in note]
    assert len(told) == (not header.startswith("image_name")), "what was guessed is said"


def test_the_columns_of_a_csv_may_stand_in_either_order_and_names_hold_commas(tmp_path):
    folder = write_pictures(tmp_path / "set", 2)
    (folder / "000.png").rename(folder / "a,b.png")
    (folder / "labels.csv").write_text("kind;file\ncat;a,b.png\ndog;001.png\n")
    images, names = load_named(folder)
    assert images.labels.tolist() == [0, 1] and images.classes == ("cat", "dog") and names == ["a,b.png", "001.png"]


def test_absolute_paths_in_a_csv(tmp_path):
    one, other = write_pictures(tmp_path / "x" / "one", 2), write_pictures(tmp_path / "x" / "y" / "two", 2)
    listed = [(one / "001.png", "b"), (other / "000.png", "a")]
    (tmp_path / "elsewhere").mkdir()
    given = tmp_path / "elsewhere" / "list.csv"
    given.write_text("".join(f"{path},{label}\n" for path, label in listed))
    images, names = load_named(given)
    assert images.labels.tolist() == [1, 0] and names == ["one/001.png", "y/two/000.png"] and images.name == "list"
    assert torch.equal(images.images[0], load(one).images[1]) and len(load(given, labels=False)) == 2
    # Inside of the folder that they are of, and one that is not there.
    (one / "labels.csv").write_text(f"{one / '001.png'},b\n000.png,a\n")
    assert load_named(one)[1] == ["001.png", "000.png"]
    given.write_text(f"{one / '009.png'},b\n{one / '000.png'},a\n")
    with pytest.raises(Refusal, match=r"names '.*009\.png' in line 1, which is not in"):
        load(given)


def test_pictures_beside_and_inside_of_folders_are_all_read_where_no_labels_are_needed(tmp_path):
    folder = classes(tmp_path / "mixed")
    write_pictures(folder, 2)
    images = load(folder, labels=False)
    assert len(images) == 8 and images.labels is None
    (note,) = images.notes
    assert note == "mixed: 2 picture(s) beside its folders and 6 inside of them (cat, dog): all are read."
    with pytest.raises(
        Refusal, match=r"both beside and inside of its folders, 2 beside and 6 inside of them \(cat, dog\)"
    ):
        load(folder)
    images, _ = load_named(folder, labels="any")
    assert len(images) == 8 and images.labels is None and "labels are left out" in images.notes[-1]


def test_bad_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match="holds no picture"):
        load(tmp_path / "empty")
    with pytest.raises(Refusal, match="check the path"):
        load(tmp_path / "missing")
    classes(tmp_path / "mixed")
    write_pictures(tmp_path / "mixed", 1)
    with pytest.raises(Refusal, match="both beside and inside"):
        load(tmp_path / "mixed")
    two = write_pictures(tmp_path / "two")
    for name in "ab":
        (two / f"{name}.csv").write_text("image_name,label\n")
    with pytest.raises(Refusal, match=r"2 CSV files.*labels\.csv"):
        load(two)


def test_broken_pictures_are_refused_by_name_or_skipped_and_counted(tmp_path):
    folder = classes(tmp_path / "pets")
    (folder / "cat" / "001.png").write_text("this is text")
    with pytest.raises(Refusal, match=r"cat/001\.png is no picture.*--skip-broken"):
        load(folder)
    (folder / "dog" / "000.png").write_bytes(png(noise())[:300])
    images, names = load_named(folder, skip_broken=True)
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert names == ["cat/000.png", "cat/002.png", "dog/001.png", "dog/002.png"]
    assert "2 broken picture(s)" in images.notes[0] and "cat/001.png" in images.notes[0]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("text")
    with pytest.raises(Refusal, match="no picture that can be read"):
        load(tmp_path / "bad", skip_broken=True)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_truncated_pictures(tmp_path, kind, share):
    stream = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(stream, kind)
    data = stream.getvalue()
    (tmp_path / f"a.{kind.lower()}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(Refusal, match="no picture that can be read"):
        load(tmp_path)


def test_grey_and_colour_together_become_colour(tmp_path):
    write_pictures(tmp_path, 1, channels=1)
    (tmp_path / "b.png").write_bytes(png(noise()))
    mixed = load(tmp_path)
    assert mixed.images.shape[1] == 3 and torch.equal(mixed.images[0, 0], mixed.images[0, 2])


def test_grey_is_luma_as_pillow_computes_it(tmp_path):
    write_pictures(tmp_path, 2)
    grey = load(tmp_path, colour="grey").images
    expected = np.asarray(Image.open(tmp_path / "000.png").convert("L"))
    assert grey.shape == (2, 1, 32, 32) and np.array_equal(grey[0, 0].numpy(), expected)
    assert load("uci", colour="rgb").images.shape[1] == 3


def test_odd_sizes_need_a_size(tmp_path):
    (tmp_path / "a.png").write_bytes(png(noise(40, 60)))
    (tmp_path / "b.png").write_bytes(png(noise(41, 31)))
    with pytest.raises(Refusal, match=r"a\.png is 60×40, b\.png is 31×41 pixels\): give --size"):
        load(tmp_path)
    images = load(tmp_path, size=20).images
    assert images.shape == (2, 3, 20, 20)
    square = np.asarray(Image.open(tmp_path / "a.png"))[:, 10:50]
    expected = np.asarray(Image.fromarray(square).resize((20, 20), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(images[0].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1, "Pillow resizes the same"


def test_a_set_larger_than_memory_lies_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    folder = write_pictures(tmp_path / "flat")
    expected = load(folder).images
    monkeypatch.setattr(room, "memory_bytes", lambda: 1000)
    images = load(folder).images
    assert torch.equal(images, expected) and os.listdir(tmp_path / "cache") == [], "the file has no name"
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    with pytest.raises(Refusal, match="disk is full"):
        load(folder)


def test_labels_false_seals_a_csv(tmp_path):
    folder = write_pictures(tmp_path / "set", 3)
    (folder / "labels.csv").write_text("image_name,label\n002.png,7\n000.png,1\n")
    sealed = load(folder, labels=False)
    assert sealed.labels is None and sealed.classes == () and len(load(folder)) == 2
    assert len(sealed) == 3, "labels that nobody asks for say nothing of which pictures there are"
    given = folder / "labels.csv"
    assert torch.equal(load(given, labels=False).images, load(given).images) and len(load(given)) == 2
    (folder / "labels.csv").rename(folder / "train.csv")
    assert len(load(folder, labels=False)) == 2, "of a split's CSV it is what it says"


def test_a_csv_of_other_things_is_refused_where_labels_are_due_and_else_gives_none(tmp_path):
    folder = write_pictures(tmp_path / "set", 3)
    (folder / "metadata.csv").write_text("id,camera\n1,a\n")
    with pytest.raises(Refusal, match="expected the header"):
        load(folder)
    images, _ = load_named(folder, labels="any")
    assert len(images) == 3 and images.labels is None


def test_the_folder_one_stands_in_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(write_pictures(tmp_path / "flat"))
    assert load(".").name == "flat"


# --- labels as they are written -------------------------------------------------------------------------------------


def labelled(folder, labels, encoding="utf-8"):
    """A folder of pictures whose labels.csv gives these labels, in this encoding."""
    text = "".join(f"{number:03}.png,{label}\n" for number, label in enumerate(labels))
    (write_pictures(folder, len(labels)) / "labels.csv").write_bytes(f"image_name,label\n{text}".encode(encoding))
    return folder


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("gbk", ("猫", "狗", "马", "鸟")),
        ("windows-1252", ("äpfel", "öl", "ürümqi", "été")),
        ("shift_jis", ("ねこ", "いぬ", "うま", "とり")),  # of the author's own making, as is the next
        ("utf-16-le", ("à", "á", "â", "ã")),
    ],
)
def test_a_csv_that_is_not_utf_8_is_refused_by_its_line_or_read_in_the_encoding_given(tmp_path, encoding, words):
    folder = labelled(tmp_path / "set", ("plain", *words), encoding)
    with pytest.raises(Refusal, match=r"labels\.csv .*(line [34] that .* UTF-8: .*--encoding|image_name,label)"):
        load(folder)
    images = load(folder, encoding=encoding)
    assert [images.classes[label] for label in images.labels] == ["plain", *words]
    assert load(folder, labels=False).labels is None, "labels that are not wanted are not read"


def test_marks_at_the_beginning_tell_the_encoding_and_others_have_names(tmp_path):
    for encoding in ("utf-8-sig", "utf-16"):
        folder = labelled(tmp_path / encoding, ("été", "hiver"), encoding)
        assert load(folder, encoding="gbk").classes == ("hiver", "été")
    for wrong, nearest in (("win-1252", "did you mean 'windows-1252'"), ("hex", "expected one of utf-8"), ("", "")):
        with pytest.raises(Refusal, match=f"There is no encoding '{wrong}': {nearest}"):
            load(folder, encoding=wrong)


def test_further_columns_and_empty_ones_are_no_labels(tmp_path):
    csv = write_pictures(tmp_path / "set", 3) / "labels.csv"
    csv.write_text('image_name,label,by\n000.png,cat,me\n001.png,"cat, grey",\n002.png,dog,you,\n')
    assert load(tmp_path / "set").classes == ("cat", "cat, grey", "dog")


def test_labels_are_text_as_written_and_their_order_is_total(tmp_path):
    images = load(labelled(tmp_path / "set", ("10", "1", "001", "01", "2", "1")))
    assert images.classes == ("001", "01", "1", "2", "10") and images.labels.tolist() == [4, 2, 0, 1, 3, 2]
    assert load(labelled(tmp_path / "words", ("1.0", "1", "01", "one"))).classes == ("01", "1", "1.0", "one")
    assert load(classes(tmp_path / "folders", ("1", "01", "10", "001"), 1)).classes == ("001", "01", "1", "10")
    long = {f"pets/{'1' * n}/1.png": png(noise()) for n in (4100, 4400)}  # more digits than Python makes a number of
    assert len(load(write_zip(tmp_path / "long.zip", long)).classes) == 2


@pytest.mark.parametrize("label", ["nan", "NaN", "NA", "<NA>", "", "caf�"])
def test_what_is_written_where_a_label_is_missing_or_lost_is_no_class(tmp_path, label):
    with pytest.raises(Refusal, match=r"labels\.csv gives (no|the) label .*in line 3"):
        load(labelled(tmp_path / "set", ("a", label, "b")))
    assert len(load(tmp_path / "set", labels=False)) == 3
    assert load(labelled(tmp_path / "none", ("none", "null", "Nan"))).classes == ("Nan", "none", "null")


def test_without_labels_a_csv_is_read_for_its_pictures_alone(tmp_path):
    folder = write_pictures(tmp_path / "set", 3)
    for broken in (b'image_name,label\n"000.png,1\n', b"image_name,label\n999.png,\xff\n", b"\xff\xff", b"x,y\n"):
        (folder / "labels.csv").write_bytes(broken)
        assert len(load(folder, labels=False)) == 3
        images, _ = load_named(folder, labels="any")
        assert len(images) == 3 and images.labels is None
    for name in ("a.csv", "b.csv"):  # two of them, where one would be needed for labels
        (folder / name).write_text("image_name,label\n000.png,1\n")
    assert len(load(folder, labels=False)) == 3
    (folder / "train.csv").write_bytes(b"image_name,label\n002.png\n000.png,-1\n001.png,\xe9\n")
    (folder / "labels.csv").unlink()
    assert load_named(folder, labels=False)[1] == ["002.png", "000.png", "001.png"]


# --- names ----------------------------------------------------------------------------------------------------------

COMPOSED, DECOMPOSED = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"


def test_composed_and_decomposed_accents_are_one_class(tmp_path):
    images = load(classes(tmp_path / "set", (COMPOSED, DECOMPOSED, "bar"), 1))
    assert images.classes == ("bar", COMPOSED) and images.labels.tolist() == [0, 1, 1]
    assert any("two folders are named" in note for note in images.notes)
    assert load(labelled(tmp_path / "csv", (COMPOSED, "bar", DECOMPOSED))).labels.tolist() == [1, 0, 1]
    # Between sets that were read at other times, and between a CSV and the files that it names.
    other = in_classes(images, ("bar", "foo", DECOMPOSED))
    assert other.labels.tolist() == [0, 2, 2] and other.classes == ("bar", "foo", DECOMPOSED)
    (tmp_path / "set" / "labels.csv").write_text(f"image_name,label\n{COMPOSED}/000.png,a\n", "utf-8")
    shutil.rmtree(tmp_path / "set" / COMPOSED)
    assert load_named(tmp_path / "set")[1] == [f"{DECOMPOSED}/000.png"]


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_archives_with_backslashes_have_their_folders(tmp_path, write):
    members = {rf"pets\{c}\{n}.png": png(noise()) for c in ("cat", "dog") for n in range(2)}
    path = tmp_path / ("pets.zip" if write is write_zip else "pets.tar.gz")
    images, names = load_named(write(path, {**members, r"pets\__MACOSX\._0.png": b"", r"pets\.x\0.png": b""}))
    assert images.classes == ("cat", "dog") and images.labels.tolist() == [0, 0, 1, 1] and names[0] == "pets/cat/0.png"
    with pytest.raises(Refusal, match=r"more than once, as 'pets/cat/0\.png'"):
        load(write(path, {**members, "pets/cat/0.png": png(noise())}))
    dotted = {f"./{c}/0.png": png(noise()) for c in ("cat", "dog")}
    assert load(write(path, dotted)).classes == ("cat", "dog")


def test_a_folder_that_bears_a_data_sets_name_is_told(tmp_path, monkeypatch):
    classes(tmp_path / "uci")
    classes(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    (note,) = [note for note in load("uci", limit=5).notes if "./uci" in note]
    assert "the data set of that name" in note and str(tmp_path / "uci") in note
    assert len(load("./uci")) == 6 and load("uci", limit=5).images.shape[1] == 1
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(Refusal, match=r"'mnist' were not found.*give \./mnist for"):
        load("mnist", data_root=tmp_path / "nowhere")
    write_mnist(tmp_path / "root")
    shutil.rmtree(tmp_path / "mnist")
    shutil.copytree(tmp_path / "root" / "mnist", tmp_path / "mnist")
    assert not [note for note in load("mnist", data_root=".").notes if "./" in note], "it is the set itself"


# --- parts and classes ------------------------------------------------------------------------------------------------


def parted(root, *parts, count=1):
    """A folder of parts, each of the classes cat and dog."""
    for part in parts:
        classes(root / part, count=count)
    return root


def test_a_class_named_as_a_part_is_a_class(tmp_path):
    """VisDA's train is a vehicle; of a study's groups one is called test."""
    words = ("aeroplane", "bus", "car", "train", "truck")
    visda = load(classes(tmp_path / "visda", words))
    assert visda.classes == words and len(visda) == 15 and len(load(tmp_path / "visda", labels=False)) == 15
    note = "visda: train is read as a class, as is what stands beside it (aeroplane, bus, car, truck)."
    assert visda.notes == (note,) and evaluation_split(str(tmp_path / "visda")) == "train"
    study = load(classes(tmp_path / "study", ("control", "test")))
    assert study.classes == ("control", "test") and "test is read as a class" in study.notes[0]
    assert evaluation_split(str(tmp_path / "study")) == "train"


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Test"),
        ("TRAINING", "testing"),
        ("training_set", "test_set"),
        ("train2017", "test2017"),
        ("digits-train", "digits-Test"),
        ("imgTrain", "imgTest"),
    ],
)
def test_parts_are_known_in_any_case_and_spelling(tmp_path, names):
    train, test = (load(parted(tmp_path / "pets", *names), split) for split in ("train", "test"))
    assert train.classes == test.classes == ("cat", "dog") and len(train) == len(test) == 2
    told = f"pets: {names[0]}/ (2 pictures) is the training part, {names[1]}/ (2 pictures) is the part to measure on."
    assert train.notes == test.notes == (told,) and evaluation_split(str(tmp_path / "pets")) == "test"


def test_validation_pictures_are_measured_on_or_said_not_to_be(tmp_path):
    path = parted(tmp_path / "pets", "train", "Dev")
    assert "Dev/ (2 pictures) is the part to measure on" in load(path).notes[0]
    assert evaluation_split(str(path)) == "valid" and len(load(path, "val")) == 2
    parted(path, "test")
    assert "test/ (2 pictures) is the part to measure on, Dev/ (2 pictures) is not used" in load(path).notes[0]
    assert evaluation_split(str(path)) == "test"


def test_classes_that_have_a_parts_word_in_their_names_are_classes(tmp_path):
    for number, names in enumerate([("train_station", "test_track"), ("express_train", "bus"), ("contest", "strain")]):
        assert load(classes(tmp_path / str(number), names)).classes == tuple(sorted(names))


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (
            ("train/cat", "test/cat", "extra"),
            r"holds test, train, named as parts .*, beside extra: move extra elsewhere",
        ),
        (
            ("train/cat", "train/dog", "unlabelled"),
            "holds train, named as parts .*, beside unlabelled: .* rename train",
        ),
        (("train", "Training"), "holds Training, train, of which two name one part"),
        (
            ("cat/train", "cat/test", "dog/train", "dog/test"),
            r"cat holds test, train, .* above the classes \(train/cat\)",
        ),
        (("trainA", "testA", "trainB", "testB"), r"holds testA, testB, trainA, trainB, .* of one set into a folder"),
        (("train2017", "val2017", "extra"), r"holds train2017, val2017, named as parts .* rename them if they are"),
        (("test", "val"), r"has no part 'train': it has test, val; name .*val to read that alone"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_way_out(tmp_path, folders, says):
    for folder in folders:
        write_pictures(tmp_path / "pets" / folder, 1)
    for labels in (True, False):
        with pytest.raises(Refusal, match=says) as refused:
            load(tmp_path / "pets", labels=labels)
        assert "\n" not in str(refused.value)


def test_pictures_beside_a_lone_training_part_are_refused(tmp_path):
    write_pictures(write_pictures(tmp_path / "train", 1).parent, 1)
    with pytest.raises(Refusal, match="both beside and inside"):
        load(tmp_path)


def test_labels_in_a_csv_leave_no_doubt(tmp_path):
    for folder in ("train", "test", "extra"):
        write_pictures(tmp_path / folder, 1)
    (tmp_path / "labels.csv").write_text("image_name,label\ntrain/000.png,a\nextra/000.png,b\n")
    images = load(tmp_path)
    assert len(images) == 2 and "1 picture(s) that labels.csv does not name: not read." in images.notes[0]


def test_a_test_part_alone_is_read_whole_and_nothing_is_measured_on_it(tmp_path):
    images = load(parted(tmp_path / "new", "test"))
    assert images.classes == ("cat", "dog") and images.notes == ("new: test/ is the only folder, and is read whole.",)
    assert evaluation_split(str(tmp_path / "new")) == "train"


def test_pictures_beside_parts_are_told(tmp_path):
    write_pictures(parted(tmp_path / "pets", "train", "test"), 3)
    images = load(tmp_path / "pets")
    assert len(images) == 2 and images.notes[0].endswith("to measure on, 3 beside them are not read.")


def test_parts_in_a_folder_of_their_own_are_parts(tmp_path):
    """An archive that was unpacked: its test pictures are not trained on."""
    path = parted(tmp_path / "download" / "pets-v1", "train", "test").parent
    assert len(load(path, labels=False)) == 2 and evaluation_split(str(path)) == "test"
    write_pictures(path / "pets-v2", 1)
    with pytest.raises(Refusal, match=r"pets-v1 holds test, train, named as parts"):
        load(path)


def test_all_parts_together_are_labelled_by_their_classes(tmp_path):
    images, names = load_named(parted(tmp_path, "train", "test"), "all")
    assert images.classes == ("cat", "dog") and names[:2] == ["test/cat/000.png", "train/cat/000.png"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_parts_of_an_archive(tmp_path, kind):
    members = {f"pets/{part}/{n}.png": png(noise()) for part in ("Train", "Test") for n in range(2)}
    path = (write_zip if kind == "zip" else write_tar)(tmp_path / f"pets.{kind}", members | {"pets/.x": b""})
    images, names = load_named(path, "test")
    assert names == ["pets/Test/0.png", "pets/Test/1.png"] and evaluation_split(str(path)) == "test"
    assert images.notes[1] == f"pets.{kind}: not read: 1 hidden."


def test_a_csv_a_part(tmp_path):
    write_pictures(tmp_path / "data", 4)
    (tmp_path / "Training.csv").write_text("image_name,label\n000.png,b\n001.png,a\n")
    (tmp_path / "VAL.csv").write_text("image_name,label\n003.png,a\n")
    assert len(load(tmp_path)) == 2 and len(load(tmp_path, "valid")) == 1
    assert evaluation_split(str(tmp_path)) == "valid"
    assert "1 picture(s) that Training.csv does not name: not read." in load(tmp_path).notes[-1], "002.png"


def test_pictures_of_another_part_are_not_trained_on(tmp_path):
    """Neither those that test.csv names, nor those of test/ that a labels.csv for all names."""
    for labels in (True, False):
        pets = classes(tmp_path / f"pets-{labels}")
        (pets / "test.csv").write_text("image_name,label\ncat/000.png,cat\n")
        assert len(load(pets, labels=labels)) == 5 and len(load(pets, "test")) == 1
        assert evaluation_split(str(pets)) == "test"
    both = tmp_path / "both"
    for part in ("train", "test"):
        write_pictures(both / part, 2)
    lines = [f"{part}/00{number}.png,{number}" for part in ("train", "test") for number in range(2)]
    (both / "labels.csv").write_text("\n".join(["image_name,label", *lines]) + "\n")
    assert load_named(both)[1] == ["train/000.png", "train/001.png"]
    assert load_named(both, "test")[1] == ["test/000.png", "test/001.png"]


def test_a_csv_without_labels_is_no_part(tmp_path):
    """Else a run is trained to its end, and then its evaluation is refused."""
    (classes(tmp_path) / "test.csv").write_text("image_name\ncat/000.png\n")
    assert len(load(tmp_path)) == 6 and evaluation_split(str(tmp_path)) == "train"


def test_what_a_file_is_evaluated_on(tmp_path):
    write_pictures(tmp_path, 2)
    (tmp_path / "mine.csv").write_text("image_name,label\n000.png,a\n001.png,b\n")
    assert evaluation_split(str(tmp_path / "mine.csv")) == "train"
    assert evaluation_split(str(write_svhn(tmp_path) / "train_32x32.mat")) == "train"
    assert evaluation_split(str(tmp_path / "svhn")) == "test", "a published set's own folder"


def test_a_run_on_classes_named_as_parts_is_evaluated_and_predicts_all(tmp_path, quick, capfd):
    data = classes(tmp_path / "study", ("control", "test"), 10)
    (data / "README.txt").write_text("")
    flags = ("--size", 16, "--width", 8, "--batch", 4, "--images", 8, "--validation", 0.3, "--out", tmp_path / "run")
    assert main.main([str(word) for word in ("train", "digits-classifier", "--data", data, *flags)]) == 0
    ran = capfd.readouterr()
    assert "note: study: test is read as a class" in ran.err and "test_accuracy" in ran.out
    assert main.main(["predict", str(tmp_path / "run"), str(data), "--out", str(tmp_path / "x.csv")]) == 0
    assert "note: study: not read: 1 of .txt." in capfd.readouterr().err
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 21


# --- what is not read -------------------------------------------------------------------------------------------------


@tiny.POSIX
def test_links_are_followed_and_loops_are_told(tmp_path):
    write_pictures(tmp_path / "elsewhere" / "cats", 2)
    pets = classes(tmp_path / "pets", ("dog",), 2)
    (pets / "cat").symlink_to(tmp_path / "elsewhere" / "cats")
    (pets / "dog" / "9.png").symlink_to(tmp_path / "elsewhere" / "cats" / "000.png")
    (pets / "dog" / "up").symlink_to(pets)
    os.mkfifo(pets / "dog" / "pipe.png")
    images, names = load_named(pets)
    assert images.classes == ("cat", "dog") and len(images) == 5 and names[0] == "cat/000.png"
    unread = "1 link back to a folder that it lies in, 1 pipe, socket or device"
    assert images.notes == (f"pets: not read: {unread}.",)


@tiny.POSIX
@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_a_link_that_leads_nowhere_is_refused_or_counted(tmp_path, target):
    """A class on a disk that is not mounted."""
    pets = classes(tmp_path / "pets")
    (pets / "itself").symlink_to(tmp_path / "pets" / target)
    with pytest.raises(Refusal, match=r"pets/itself cannot be read \(.*give --skip-broken to leave it out\.$"):
        load(pets)
    assert load(pets, skip_broken=True).notes == ("pets: not read: 1 folder or link that cannot be read.",)


@tiny.POSIX
@pytest.mark.parametrize("inner", ["cat", "dog/more"])
def test_an_unreadable_folder_is_refused_or_counted(inner):
    with tempfile.TemporaryDirectory() as place:  # tmp_path is closed to others
        os.chmod(place, 0o755)
        pets = classes(Path(place) / "pets")
        write_pictures(pets / inner, 1)
        (pets / inner).chmod(0)
        user = os.geteuid()
        try:
            if user == 0:  # whom no mode keeps out
                os.seteuid(65534)
            with pytest.raises(Refusal, match=rf"{inner} cannot be read \(Permission denied\): .*--skip-broken"):
                load(pets)
            images = load(pets, skip_broken=True)
        finally:
            os.seteuid(user)
            (pets / inner).chmod(0o755)
        assert images.notes == ("pets: not read: 1 folder or link that cannot be read.",)
        assert len(images) == (3 if inner == "cat" else 6)


def test_what_is_not_read_is_counted_by_kind_in_one_line(tmp_path):
    """A class of nothing else is named: it would be missed."""
    pets = classes(tmp_path / "pets")
    (pets / "fox").mkdir()
    for name in ("fox/a.psd", "fox/b.PSD", "notes.txt", "cat/LICENSE", ".hidden", "meta.json", "labels.csv.bak"):
        (pets / name).write_text("text")
    (pets / "cat" / "raw").mkdir()
    (pets / "cat" / "raw" / "a.nef").write_text("")
    told = "2 of .psd, 1 hidden, 1 of .bak, 1 of .json, 1 of .nef, 1 of .txt, files of 1 further kinds"
    assert load(pets).notes == (f"pets: not read: {told}; no picture in cat/raw, fox.",)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.psd").write_text("")
    with pytest.raises(Refusal, match=r"none holds no picture \(not read: 1 of \.psd\): expected PNG"):
        load(tmp_path / "none")
