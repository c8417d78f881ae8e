"""Tables for papers, through `genshift compare --format`: what is bold, what is published, and that each kind reads."""

import csv
import io
import json
import re
import shutil
import sys

import pytest
from PIL import Image
from report_fixtures import write_run, write_study
from report_pictures import write_gan

import genshift
from genshift.cli.main import main
from genshift.report import figure_files


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """hw2's adaptation of three seeds; of faces one GAN far better than another."""
    root = tmp_path_factory.mktemp("tables")
    write_study(root)
    write_gan(root, "hw2-gan-a", values={"frechet": 90.0})
    write_gan(root, "faces-gan", values={"frechet": 20.0})
    return root


def printed(capsys, *words):
    assert main(["compare", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_numbers_are_those_of_the_json(runs, capsys):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, runs, "--format", "csv"))))
    known = json.loads(printed(capsys, runs, "--format", "json"))
    assert known == json.loads(printed(capsys, runs, "--json")) == genshift.compare(runs) and len(rows) == len(known)
    for row, other in zip(rows, known, strict=True):
        assert (row["task"], row["label"], row["metric"]) == (other["task"], other["label"], other["metric"])
        assert [float(row[name]) if row[name] else None for name in ("mean", "sd", "published")] == [
            other[name] for name in ("mean", "sd", "published")
        ]
        assert row["seeds"] == " ".join(map(str, other["seeds"]))


def cells(markdown, label):
    (line,) = (line for line in markdown.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_methods_stand_by_task_with_the_published_figure_behind(runs, capsys):
    """hw2's DANN: 48.74 and 93.68 published; the bound is never the best."""
    text = printed(capsys, runs, "--format", "markdown")
    assert "± is the standard deviation over 3 seeds" in text
    _, svhn, usps = cells(text, "DANN")
    assert re.fullmatch(r"\*\*\d\d\.\d\d ± 0\.40 \(48\.74\)\*\*", svhn) and "(93.68)" in usps
    assert not any("**" in cell for cell in cells(text, "Trained on target") + cells(text, "Source only"))


def test_what_noise_does_not_tell_from_the_best_is_marked_too(tmp_path, capsys):
    for role, accuracy in (("source", 0.40), ("dann", 0.50), ("mcc", 0.51)):
        write_run(tmp_path, "default", "mnistm→svhn", role, 0, accuracy)
    text = printed(capsys, tmp_path, "--format", "markdown")
    assert ["**" in cells(text, label)[1] for label in ("Source only", "DANN", "MCC")] == [False, True, True]


def test_generators_stand_by_measure_above_real_pictures(runs, capsys):
    text = printed(capsys, runs, "--format", "markdown")
    head = next(line for line in text.splitlines() if "Fréchet ↓" in line)
    place = [cell.strip() for cell in head.strip("|").split("|")].index("Fréchet ↓")
    assert cells(text, "faces-gan")[place].startswith("**20.0") and "**" not in cells(text, "hw2-gan-a")[place]
    assert cells(text, "real pictures")[place]


def test_where_noise_is_not_known_nothing_is_the_best(tmp_path, capsys):
    write_gan(tmp_path, "hw2-gan-a", values={"frechet": 90.0, "seconds_per_image": 0.2})
    write_gan(tmp_path, "faces-gan", values={"frechet": 20.0, "seconds_per_image": 0.1})
    results = [path for path in tmp_path.rglob("results.json")]
    for path in results:
        entries = json.loads(path.read_text())
        entries["seconds_per_image"] = {
            **entries["frechet"],
            "value": entries["seconds_per_image"]["value"],
            "std": None,
        }
        path.write_text(json.dumps(entries))
    text = printed(capsys, tmp_path, "--format", "markdown")
    head = next(line for line in text.splitlines() if "Fréchet ↓" in line)
    place = [cell.strip() for cell in head.strip("|").split("|")].index("seconds a picture ↓")
    assert len(results) == 2 and "**" in text
    assert not any("**" in cells(text, label)[place] for label in ("faces-gan", "hw2-gan-a"))


def test_a_comparison_is_a_frame_for_pandas(runs, monkeypatch):
    pandas = pytest.importorskip("pandas")
    rows = genshift.compare(runs)
    frame = rows.frame()
    assert isinstance(frame, pandas.DataFrame) and list(frame) == [name for name in rows[0] if name != "text"]
    assert len(frame) == len(rows) and frame["mean"].tolist() == [row["mean"] for row in rows]
    assert frame["sd"].isna().tolist() == [row["sd"] is None for row in rows]
    wide = frame[frame.family == "adaptation"].pivot_table("mean", "label", "task")
    assert wide.loc["DANN"].max() <= 1 and frame["seeds"][0] == rows[0]["seeds"]
    run = genshift.Run(rows[0]["runs"][0])
    own = run.frame().set_index("measure")
    assert own["value"].to_dict() == {name: entry["value"] for name, entry in run.results.items()}
    assert "n" in own and "floor" in own and "protocol" in own
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(genshift.Refusal, match=r"pip install 'genshift\[pandas\]'"):
        rows.frame()


def test_latex_escapes_names_and_closes_what_it_opens(runs, tmp_path, capsys):
    write_run(tmp_path, "own_study 50% & more", "a_b→c", "source", 0, 0.4)
    text = printed(capsys, runs, tmp_path, "--format", "latex")
    assert r"own\_study 50\% \& more" in text and r"a\_b$\to$c" in text and "±" not in text and "→" not in text
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 1
    for table in text.split(r"\begin{tabular}")[1:]:
        columns = len(re.match(r"\{(l r*|l(r*))\}", table)[2]) + 1
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert all(len(re.findall(r"(?<!\\)&", row)) == columns - 1 for row in rows)
    assert re.search(r"DANN & \\textbf\{\d\d\.\d\d \$\\pm\$ 0\.40 \(48\.74\)\}", text)


def test_two_formats_are_one_too_many(runs, capsys):
    assert main(["compare", str(runs), "--json", "--format", "csv"]) == 2
    assert "name two formats" in capsys.readouterr().err


# --- drawings as files ------------------------------------------------------------------------------------------------


def test_drawings_are_written_as_svg_png_and_pdf_and_pictures_as_they_are(tmp_path, capsys):
    pytest.importorskip("kaleido")
    if not any(map(shutil.which, figure_files.BROWSERS)):
        pytest.skip("no Chrome or Chromium")
    run = write_gan(tmp_path, "hw2-gan-a")
    assert main(["report", str(run), "--figures", str(tmp_path / "figures")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "figures")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    losses = {f"hw2-p1-3-hw2-gan-a-losses.{kind}" for kind in figure_files.KINDS}
    assert losses <= names and "hw2-p1-2-hw2-gan-a.png" in names
    content = {
        kind: (tmp_path / "figures" / f"hw2-p1-3-hw2-gan-a-losses.{kind}").read_bytes() for kind in ("svg", "pdf")
    }
    assert b"<svg" in content["svg"][:200] and b"discriminator (D)" in content["svg"] and content["pdf"][:5] == b"%PDF-"
    with Image.open(tmp_path / "figures" / "hw2-p1-3-hw2-gan-a-losses.png") as drawn:
        assert drawn.size[0] == figure_files.WIDTH * figure_files.SCALE
        assert len(drawn.convert("RGB").getcolors(1 << 20)) > 20  # lines and letters, and not an empty sheet


def test_drawings_without_the_extra_are_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    run = write_gan(tmp_path, "hw2-gan-a")
    assert main(["report", str(run), "--figures", str(tmp_path / "figures")]) == 2
    assert "genshift[figures]" in capsys.readouterr().err and not (tmp_path / "figures").exists()
