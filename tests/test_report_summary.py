"""Reading run folders, grouping them by seed, and the numbers of every table."""

import json
import math
import statistics
import subprocess
import sys

import pytest
from report_fixtures import patch_json, write_json, write_lines, write_run, write_study

from genshift.errors import Refusal
from genshift.report.console import compare_table, format_table
from genshift.report.model.grouping import group_runs
from genshift.report.model.page_model import page_model
from genshift.report.model.run_records import read_runs
from genshift.report.results_md import write_results
from genshift.runs.files import read_jsonl


def rows_of(folders):
    return {(row.task, row.method): row for row in page_model(read_runs(folders)).rows}


def test_mean_spread_and_difference_over_seeds(tmp_path):
    values = [0.50, 0.52, 0.47]
    folders = [
        write_run(tmp_path, "hw2", "mnistm→svhn", "dann", seed, v, published={"target_accuracy": 0.4874})
        for seed, v in enumerate(values)
    ]
    row = rows_of(reversed(folders))["mnistm→svhn", "dann"]
    assert row.mean == pytest.approx(statistics.fmean(values)) and row.sd == pytest.approx(statistics.stdev(values))
    assert row.difference == pytest.approx(row.mean - 0.4874)
    assert row.seeds == (0, 1, 2) and row.n == 1000 and row.images == (600_000,) and row.cpu_minutes == 4.2


def test_one_seed_shows_the_binomial_error_marked(tmp_path):
    (text,) = compare_table([write_run(tmp_path, "hw2", "mnistm→svhn", "dann", 0, 0.5)])
    assert text["sd"] is None and text["standard_error"] == pytest.approx(math.sqrt(0.25 / 1000))
    assert text["text"][3] == "50.00 ± 1.58 (se)" and text["published"] is None


def test_roles_come_in_order_and_unlike_settings_stay_apart(tmp_path):
    folders = write_study(tmp_path, seeds=1)
    other = write_run(tmp_path, "hw2", "mnistm→svhn", "dann", 1, 0.3)
    patch_json(other / "config.json", lambda c: c["preset"]["fields"].update(lr=0.01))
    groups = [g for g in group_runs(read_runs([*folders, other])) if g.task == "mnistm→svhn"]
    assert [g.label for g in groups] == [
        "Source only",
        "DANN, lr 0.0003",
        "DANN, lr 0.01",
        "Trained on target",
    ]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda c: c.update(images=9_984), "9,984 images"),
        (lambda c: c.update(minutes=5.0), "5.0 minutes"),
        (lambda c: c.update(precision="float32"), "float32"),
        (lambda c: c["data"]["source"].update(fingerprint="sha256:ffffffff0000"), "source data ffffffff"),
        (lambda c: c["data"]["target"].update(fingerprint="eeeeeeee0000"), "target data eeeeeeee"),
        (lambda c: c["data"].update(held_out={"name": "x", "fingerprint": "dddddddd0000"}), "held-out data dddddddd"),
    ],
)
def test_unlike_budgets_precisions_and_data_are_no_seeds_of_one_row(tmp_path, change, said):
    folders = [write_run(tmp_path, "hw2", "mnistm→svhn", "dann", seed, 0.5) for seed in range(3)]
    patch_json(folders[2] / "config.json", change)
    rows = page_model(read_runs(folders)).rows
    assert [row.seeds for row in rows] == [(0, 1), (2,)] and rows[1].label == f"DANN, {said}"


def test_the_budget_that_was_used_groups_and_not_the_presets(tmp_path):
    folders = [write_run(tmp_path, "hw2", "mnistm→svhn", "dann", seed, 0.5) for seed in range(2)]
    patch_json(folders[1] / "config.json", lambda c: c["preset"]["fields"].update(images=1, epochs=3))
    assert [row.label for row in page_model(read_runs(folders)).rows] == ["DANN"]


def variants(root):
    """DANN at λ 0.1 and 0.3, three seeds each, and a variant of another name that changes lr too."""
    folders = []
    for name, lam, lr in (("a", 0.1, 3e-4), ("b", 0.3, 3e-4), ("c", 0.3, 0.01)):
        for seed in range(3):
            folder = write_run(root / name, "hw2", "mnistm→svhn", "dann", seed, 0.5 + lam / 10, name=f"hw2-{name}")
            patch_json(folder / "config.json", lambda c, v=(lam, lr): c["preset"]["fields"].update(lam=v[0], lr=v[1]))
            folders.append(folder)
    return folders


def test_variants_of_a_role_are_told_apart_in_every_table(tmp_path):
    folders = variants(tmp_path / "study")
    labels = [row["label"] for row in compare_table(folders[:6])]
    assert labels == ["DANN, lam 0.1", "DANN, lam 0.3"]
    wanted = ["DANN, lr 0.0003, lam 0.1", "DANN, lr 0.0003, lam 0.3", "DANN, lr 0.01, lam 0.3"]
    assert [row["label"] for row in compare_table(folders)] == wanted
    kept = tmp_path / "kept" / "hw2"
    for number, folder in enumerate(folders):
        folder.rename((kept / str(number)) if kept.exists() else (kept.mkdir(parents=True) or kept / str(number)))
    text = write_results(kept.parent, tmp_path / "results.md").read_text()
    assert all(f"| {label} |" in text for label in wanted)


def test_presets_of_other_names_and_like_settings_are_named(tmp_path):
    folders = [write_run(tmp_path / n, "hw2", "mnistm→svhn", "dann", 0, 0.5, name=n) for n in ("one", "two")]
    assert [row["label"] for row in compare_table(folders)] == ["DANN, one", "DANN, two"]


def test_a_run_that_still_trains_does_not_count_into_cost(tmp_path):
    folders = [write_run(tmp_path, "own", "a→b", "dann", seed, 0.5) for seed in range(2)]
    (folders[1] / "results.json").unlink()
    write_lines(folders[1] / "metrics.jsonl", [{"images": 17, "cpu_seconds": 1.0}])
    (row,) = page_model(read_runs(folders)).rows
    assert row.images == (600_000,) and row.cpu_minutes == 4.2 and row.seeds == (0,)


def test_a_run_that_has_just_begun_is_not_evaluated(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    assert compare_table([folder])[0]["text"][3] == "not evaluated yet"
    (row,) = page_model(read_runs([folder])).rows
    assert row.images == () and row.cpu_minutes is None


def test_an_evaluated_run_without_target_labels_says_so(tmp_path):
    folder = write_run(tmp_path, "own", "a→b", "dann", 0, 0.5)
    patch_json(folder / "results.json", lambda r: r.pop("oracle/target_test_accuracy"))
    assert compare_table([folder])[0]["text"][3] == "no target labels"


def test_cautions_name_what_fell_below_source_only(tmp_path):
    write = [write_run(tmp_path, "own", "a→b", role, 0, v) for role, v in (("source", 0.6), ("dann", 0.4))]
    patch_json(write[1] / "evaluation.json", lambda e: e["warnings"].append("a warning of the evaluator"))
    said = page_model(read_runs(write)).cautions
    assert "a warning of the evaluator" in said[0]
    assert said[1] == "a→b, DANN: 40.00 %, below source only at 60.00 %"


def test_the_same_seed_twice_is_said(tmp_path):
    folders = [write_run(tmp_path / str(k), "own", "a→b", "dann", 0, 0.4) for k in range(2)]
    assert "seed 0 was given more than once" in page_model(read_runs(folders)).cautions[0]


def test_a_torn_last_line_is_left_out_and_any_other_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"images": 1}\n{"images": 2}\n{"ima')
    assert read_jsonl(path) == [{"images": 1}, {"images": 2}]
    path.write_text('{"images": 1}\n{"ima\n{"images": 3}\n')
    with pytest.raises(Refusal, match=r"Line 2 of .*metrics\.jsonl"):
        read_jsonl(path)


def test_a_line_that_is_torn_within_a_character_is_left_out_and_signs_within_a_text_end_no_line(tmp_path):
    path, whole = tmp_path / "metrics.jsonl", '{"images": 1, "alarms": ["λ\u2028"]}\n'.encode()
    path.write_bytes(whole + whole[: whole.index("λ".encode()) + 1])
    assert read_jsonl(path) == [{"images": 1, "alarms": ["λ\u2028"]}]
    path.write_bytes(whole + b"\xff" + whole)
    with pytest.raises(Refusal, match="is not text"):
        read_jsonl(path)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("config.json", '{"preset": {"na', "config.json is not readable JSON"),
        ("config.json", "{}", "config.json is not what genshift writes .object missing required field `preset`"),
        ("config.json", "[1]", "expected `object`, got `array`"),
        ("config.json", None, "has no config.json"),
        ("results.json", '{"domain_accuracy": 0.5}', "expected `object`, got `float` at 'domain_accuracy'"),
        ("evaluation.json", "{", "evaluation.json is not readable JSON"),
        ("config.json", b"\xff\xfe\x00", "is not readable JSON"),
        ("metrics.jsonl", b"\xff\xfe\x00", "is not text"),
    ],
)
def test_a_broken_folder_is_named(tmp_path, name, content, said):
    path = write_run(tmp_path, "own", "a→b", "dann", 0, 0.4) / name
    path.unlink() if content is None else path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Refusal, match=said):
        read_runs([path.parent])


def test_no_folder_and_no_runs_are_refused(tmp_path):
    with pytest.raises(Refusal, match="no run folder"):
        read_runs([tmp_path / "absent"])
    with pytest.raises(Refusal, match="no run to report on"):
        read_runs([])


def test_console_table_is_aligned_and_json_ready(tmp_path):
    rows = compare_table(write_study(tmp_path))
    assert len(rows) == 6 and json.loads(json.dumps(rows)) == rows
    lines = format_table(rows).splitlines()
    assert {len(line) for line in [lines[0], *lines[2:8]]} == {len(lines[1])}
    assert "52.14 ± 0.40" in lines[3] and "+3.40" in lines[3] and "−0.60" in lines[2]


def test_a_run_without_a_role_has_a_row_for_each_metric(tmp_path):
    folder = write_run(tmp_path, "hw3", "x→y", "dann", 0, 0.5, role=None, task=None, name="hw3-vae", study="hw3")
    write_json(folder / "results.json", {"fid": {"value": 12.3456, "std": None, "n": 5000, "protocol": "…"}})
    (row,) = compare_table([folder])
    assert (row["label"], row["metric"], row["text"][2:5]) == ("hw3-vae", "fid", ["FID", "hw3-vae", "12.35"])


@pytest.fixture
def kept(tmp_path):
    """docs/results/hw2/<run>/ with the two small files of each run."""
    for folder in write_study(tmp_path / "hw2"):
        for path in folder.iterdir():
            if path.name not in ("config.json", "results.json"):
                path.unlink()
    return tmp_path


def test_results_md_says_what_fell_short_with_its_written_cause(kept, tmp_path):
    (kept / "hw2" / "notes.md").write_text("About hw2.\n\n## mnistm→svhn target\nOnly 6,000\nimages.\n")
    text = write_results(kept, tmp_path / "out" / "results.md").read_text()
    assert "| DANN | 52.14 ± 0.40 | 48.74 | +3.40 | 3 (0, 1, 2) | 1,000 ± 1.58 | 600,000 | 4.2 |" in text
    assert "Trained on target: 88.86 %, below the published 90.46 %. Only 6,000 images." in text
    assert "mnistm→usps, Source only: 86.83 %, below the published 87.43 %. No cause is written down yet." in text
    assert "About hw2." in text and "sha256:0a1b2c3d4e5f" in text and "--seed 2" in text
    assert text == write_results(kept, tmp_path / "again.md").read_text()


def test_results_md_says_once_what_the_data_the_costs_and_the_runs_are(kept, tmp_path):
    notes = ["svhn: 6,000 train images are here; the published set has 73,257.", "not the published file."]
    for folder in (kept / "hw2").glob("*svhn*"):
        patch_json(folder / "config.json", lambda c: c["data"]["target"].update(notes=notes))
    text = write_results(kept, tmp_path / "results.md").read_text()
    assert text.count("### Data") == 1 and all(text.count(note) == 1 for note in notes)
    assert "18 runs, 3 seeds (0, 1, 2).\nMachine: 2-core x86 test machine, 2 threads, 1 process, bfloat16." in text
    head = text[: text.index("## hw2")]
    assert "its steps, validation and oracle checks; loading and the probe are not counted" in head
    assert "same images and share that error" in head


def test_results_md_refuses_an_empty_or_absent_folder(tmp_path):
    (tmp_path / "hw2").mkdir()
    with pytest.raises(Refusal, match="holds no <study>/<run>/config"):
        write_results(tmp_path, tmp_path / "results.md")
    with pytest.raises(Refusal, match="does not exist"):
        write_results(tmp_path / "absent", tmp_path / "results.md")


def test_the_report_floor_imports_no_torch():
    code = (
        "import sys, genshift.report.page, genshift.report.console, genshift.report.results_md; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_adapted_row_is_held_against_source_only_of_its_own_budget(tmp_path):
    for images, source in ((1000, 0.5), (9000, 0.8)):
        for role, accuracy in (("source", source), ("dann", 0.6)):
            folder = write_run(tmp_path / f"{role}-{images}", "hw2", "a→b", role, 0, accuracy)
            patch_json(folder / "config.json", lambda config, images=images: config.update(images=images))
            spent = {"value": 1.0, "std": None, "n": images, "protocol": "made up"}
            patch_json(folder / "results.json", lambda results, spent=spent: results.update(cpu_minutes=spent))
    model = page_model(read_runs(sorted(path.parent for path in tmp_path.glob("**/config.json"))))
    below = [short.text for short in model.shortfalls if short.kind == "below source only"]
    assert len(below) == 1 and "9,000 images: 60.00 %, below source only at 80.00 %" in below[0]
