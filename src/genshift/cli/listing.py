"""What `genshift ls` and `genshift show` print."""

from __future__ import annotations

from typing import Any

from genshift import plugins
from genshift.data.catalog import CATALOG
from genshift.errors import Refusal, plain
from genshift.paths import AnyPath, given_path
from genshift.presets import METHODS, PRESETS
from genshift.presets.benchmark import STUDY as BENCHMARK
from genshift.presets.benchmark import TASKS
from genshift.report.model.measures import shown_published
from genshift.runs.find import runs_below
from genshift.runs.folder import RunFolder
from genshift.studies import STUDIES

REPORTS = ("hw2", "hw3")  # studies whose presets are a report's


def ls(folder: AnyPath | None = None, data_root: AnyPath | None = None) -> dict[str, list[dict[str, Any]]]:
    """Methods, presets, data sets (with what of them is here), studies, and the runs below `folder` (runs, where there
    is one); what installed plugins add is among them. Refusal of a `folder` that is not there."""
    where = given_path("runs" if folder is None else folder)
    if folder is not None and not where.is_dir():
        raise Refusal(f"There is no folder {where}: name a run folder, or a folder of runs.")
    for group in (plugins.METHODS, plugins.DATA_SETS):
        plugins.load_installed(group)
    return {
        "methods": [
            {
                "name": row.name,
                "title": row.title,
                "summary": row.summary.format(source="source", target="target"),
                "papers": [paper.line for paper in row.papers],
                "options": list(row.options),
            }
            for row in METHODS.values()
        ],
        "presets": [
            {
                "name": p.name,
                "family": p.family,
                "study": p.study,
                "task": p.task,
                "role": p.method,
                "images": p.images,
                "summary": p.summary,
            }
            for p in PRESETS.values()
        ],
        "data": data_sets(data_root),
        "studies": [
            {"name": s.name, "runs": len(s.presets()), "seeds": s.seeds, "summary": s.summary} for s in STUDIES.values()
        ],
        "runs": [_run_row(RunFolder(path)) for path in runs_below(where)],
    }


def data_sets(data_root: AnyPath | None) -> list[dict[str, Any]]:
    """The catalog, each set with the splits that are on this machine."""
    from genshift.data.places import locate

    return [
        {
            "name": d.name,
            "title": d.title,
            "images": dict(d.published_counts),
            "side": None if d.side is None else list(d.side),
            "channels": d.channels,
            "here": [split for split, path in locate(d.name, data_root).items() if path is not None],
            "licence": d.licence,
            "terms": d.terms,
        }
        for d in CATALOG.values()
    ]


def _run_row(run: RunFolder) -> dict[str, Any]:
    """One run; a broken one is listed with what is wrong with it instead of hiding the others."""
    try:
        config = run.config
        named = {"preset": config["preset"].get("name", "?"), "seed": config["seed"], "images": config["images"]}
        seen = run.seen
    except Refusal as refusal:
        return {"path": str(run.path), "broken": str(refusal)}
    except ValueError as error:
        reason = f"a checkpoint's name is not genshift's ({error})"
        return {"path": str(run.path), "broken": f"{reason}: restore it, or train into another folder."}
    return {"path": str(run.path), **named, "seen": seen}


def as_text(listing: dict[str, list[dict[str, Any]]]) -> str:
    """The listing for a terminal: three short tables of what can be trained, then data sets, studies and runs."""
    lines = ["Methods of adaptation: genshift train METHOD --source LABELLED --target UNLABELLED"]
    lines += [f"  {m['name']:<14} {m['title']:<18} {m['summary']}" for m in listing["methods"]]
    # A method on the study's own tasks is METHOD-SOURCE-TARGET, and needs no line for each.
    named = [p for p in listing["presets"] if p["study"] != BENCHMARK]
    for title, reported in (("The reports' presets", True), ("Our own presets", False)):
        shown = [p for p in named if (p["study"] in REPORTS) == reported]
        lines += ["", title, *(f"  {p['name']:<26} {p['images']:>12,} images  {p['summary']}" for p in shown)]
    lines += ["", f"Also METHOD-SOURCE-TARGET, such as adamatch-im-{'-'.join(TASKS[0])}: the study `{BENCHMARK}`"]
    lines += ["", "Data sets"]
    for d in listing["data"]:
        counts = " + ".join(f"{n:,}" for n in d["images"].values())
        here = ", ".join(d["here"]) or "absent"
        lines.append(f"  {d['name']:<8} {counts:<26} here: {here:<14} {d['title']}")
    lines += ["", "Studies"]
    lines += [f"  {s['name']:<10} {s['runs']} presets × {s['seeds']} seeds: {s['summary']}" for s in listing["studies"]]
    lines += ["", "Runs"]
    for r in listing["runs"]:
        state = r.get("broken") or f"{r['preset']}, seed {r['seed']}, {r['seen']:,} of {r['images']:,}"
        lines.append(f"  {r['path']}: {state}")
    return "\n".join(map(plain, lines if listing["runs"] else [*lines, "  none here"]))


OPTION_GROUPS = {
    "Data": (
        *("source", "target", "extra", "data", "size", "colour", "frame", "mean", "std"),
        *("flip", "rotate", "shift", "scale", "recolour", "strong", "validation"),
    ),
    "Networks": ("backbone", "weights", "width", "latent", "condition", "answers"),
    "Training": (
        *("images", "batch", "batch_source", "batch_target", "optimizer", "lr", "lr_schedule", "lr_warmup"),
        *("pretrain", "pretrain_lr"),
        *("weight_decay", "beta1", "beta2", "ema_half_life", "precision", "select"),
    ),
}
METHOD = "Method"  # every option of no other group


def show_text(shown: dict[str, Any]) -> str:
    """A preset for a terminal."""
    lines = [f"{shown['name']}: {shown['summary']}"]
    # Each group's options below its name, each with its value and where that comes from.
    width = max(map(len, shown["options"]))
    grouped: dict[str, list[str]] = {group: [] for group in (*OPTION_GROUPS, METHOD)}
    for name, option in shown["options"].items():
        group = next((group for group, names in OPTION_GROUPS.items() if name in names), METHOD)
        grouped[group].append(f"  {name:<{width}} {option['value']!s:<14} {option['origin']}")
    lines += [line for group, rows in grouped.items() if rows for line in ("", group, *rows)]
    lines.append("")
    lines += [f"  published {name}: {shown_published(name, value)}" for name, value in shown["published"].items()]
    # Each network as PyTorch prints it, which does not show spectral normalisation.
    normalised = shown["options"].get("spectral_norm", {}).get("value") == "on"
    for name, net in shown["networks"].items():
        lines += ["", net["printed"], f"{name}: {net['parameters']:,} parameters"]
        if normalised and name == list(shown["networks"])[-1]:  # of a GAN the last network is its discriminator
            lines.append(f"spectral normalisation on every layer of the {name}")
    lines += ["", f"{shown['gflop_per_image_forward']:.4f} GFLOP an image, forward."]
    return "\n".join(lines)
