"""Time to quality: what each arm reaches in equal minutes of one core, judged alike, as curves over minutes.

    python benchmarks/quality.py --out runs/quality --data-root data --environment runs/peers/environment \\
        --digits-judge runs/digits-classifier --faces-judge runs/faces-attributes --write docs/speed.md

Six arms, each what its package offers at this size: genshift's and pytorch-adapt's adaptation (ten minutes on each of
two tasks), genshift's and diffusers' digits, genshift's and denoising-diffusion-pytorch's faces (thirty minutes). Only
seconds of training count; drawing has seconds of its own, the same for both. Stopped anywhere, the same command
goes on: a training from its last state, a curve from its last point. Curves stand in --out/curves as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from beside import environment, table
from beside.measuring import Failed, child, say, write_whole

CONTESTS = {  # what `beside.learners` has, with what is told of it; this file imports no torch
    "mnistm-svhn": ("MNIST-M → SVHN, accuracy on the target's test images (%)", "accuracy", 100.0, "pytorch-adapt"),
    "usps-mnistm": ("USPS → MNIST-M, accuracy on the target's test images (%)", "accuracy", 100.0, "pytorch-adapt"),
    "digits": ("digits of MNIST-M, Fréchet distance", "frechet", 1.0, "diffusers"),
    "faces": ("faces, Fréchet distance", "frechet", 1.0, "denoising-diffusion-pytorch"),
}
MINUTES = {"mnistm-svhn": 10.0, "usps-mnistm": 10.0, "digits": 30.0, "faces": 30.0}
PICTURES, SECONDS = 1_000, 60.0
NOTES = """\
genshift's arms are AdaMatch with information maximisation, digits-diffusion and faces-gan. pytorch-adapt's is its DANN
on genshift's backbone, by genshift's batches and augmentation; diffusers' is a UNet2DModel of its own (64, 128, 128
channels) with classes, moving average and guidance 2; denoising-diffusion-pytorch's is its Unet (32 channels) and
GaussianDiffusion as they come. Peers are given genshift's batches without their cost, and bfloat16 where the CPU has
it; pytorch-adapt has none. Nobody tuned them for these minutes, nor genshift's presets for this table. An arm's choice
is the point with the most information maximisation on unlabelled target images, the same rule for both. genshift's
minutes become images by a probe before the start, so its last point may lie a little beside the others'."""


def main() -> None:
    """Trains and judges what is missing, prints the tables, and writes them where that is asked for."""
    args = parsed()
    folder = (args.environment or args.out / "environment").absolute()
    absent = environment.prepare(folder, say)
    curves: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for contest in args.contests:
        peer = CONTESTS[contest][3]
        for arm in ("genshift", peer):
            if arm in absent:
                say(f"{arm} is left out: {absent[arm]}.")
            elif args.arms is None or arm in args.arms:
                try:
                    curves.setdefault(contest, {})[arm] = curve(contest, arm, environment.python_of(folder), args)
                except Failed as failed:
                    say(f"{contest}, {arm}: stopped; {failed}.")
    text = document(curves, args)
    print(text)
    if args.write:
        if any(len(arms) < 2 for arms in curves.values()) or len(curves) < len(CONTESTS):
            raise SystemExit("Not every curve is there, so nothing was written.")
        table.write_between(args.write, "quality", text)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of runs and curves, which a later start goes on"
    )
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--environment", type=Path, help="the peers' virtual environment (default: below --out)")
    parser.add_argument("--digits-judge", type=Path, help="the run of a classifier of the digits")
    parser.add_argument("--faces-judge", type=Path, help="the run of a classifier of the faces")
    parser.add_argument("--contests", nargs="+", choices=tuple(CONTESTS), default=list(CONTESTS))
    parser.add_argument("--arms", nargs="+", help="some of them (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="of every arm, to try whether all runs")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="drawn at each point")
    parser.add_argument("--write", type=Path, help="the document whose tables are written anew")
    args = parser.parse_args()
    if args.minutes is not None and args.write:
        parser.error("other minutes than the table's are not written down: leave --minutes or --write out.")
    for contest, judge in (("digits", args.digits_judge), ("faces", args.faces_judge)):
        if contest in args.contests and judge is None:
            parser.error(f"{contest} are judged by a classifier's run: give --{contest}-judge, or other --contests.")
    return args


def curve(contest: str, arm: str, python: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The points of an arm's curve: trained to its end, and each point judged once."""
    own = args.out.absolute() / f"{contest}-{arm}-seed{args.seed}"
    asked = {
        "contest": contest, "arm": arm, "out": str(own), "seed": args.seed, "threads": 1,
        "minutes": args.minutes or MINUTES[contest], "data_root": str(args.data_root.absolute()),
    }  # fmt: skip
    kept = args.out.absolute() / "curves" / f"{own.name}.json"
    known: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
    say(f"{contest}, {arm}: training …")
    child(python, "beside.learners", asked, 1)
    for path, seconds in points(python, own):
        if path not in known:
            say(f"{contest}, {arm}: judging after {seconds / 60:.1f} minutes …")
            judge = {"digits": args.digits_judge, "faces": args.faces_judge}.get(contest)
            words = {**asked, "point": str(own / path), "count": args.pictures, "seconds": SECONDS}
            words["judge"] = None if judge is None else str(judge.absolute())
            known[path] = {"minutes": seconds / 60, **child(python, "beside.judging", words, 1)}
            write_whole(kept, json.dumps(known, indent=1))
    return sorted(known.values(), key=lambda point: point["minutes"])


def points(python: Path, folder: Path) -> list[tuple[str, float]]:
    """The checkpoints of a curve below an arm's folder, and the seconds that each had taken."""
    found = child(python, "beside.points", {"out": str(folder)}, 1)
    return [(path, seconds) for path, seconds in found["points"]]


def document(curves: dict[str, dict[str, list[dict[str, Any]]]], args: argparse.Namespace) -> str:
    """Tables of all curves, with how they were measured."""
    lines = [f"One core, one seed ({args.seed}); a cell is the value @ minutes of training."]
    for contest, arms in curves.items():
        title, measure, unit, _ = CONTESTS[contest]
        lines += [f"**{title}**", table.curve_table(arms, measure, unit)]
        if contest == "digits":
            lines += ["The same, right class (%)", table.curve_table(arms, "right_class", 100.0)]
        lines += [told for arm, points_ in arms.items() if (told := last_words(arm, points_))]
    return "\n\n".join([*lines, NOTES])


def last_words(arm: str, points_: list[dict[str, Any]]) -> str:
    """What is told of an arm beside its curve: its choice, or how its pictures were drawn."""
    if not points_:
        return ""
    last = points_[-1]
    if "information" in last:
        chosen = max(points_, key=lambda point: point["information"])
        return f"{arm}'s own choice: {chosen['accuracy']:.1%}, after {chosen['minutes']:.1f} minutes."
    return (
        f"{arm}: {last['n']:,} pictures in {last['drawing_seconds']:.0f} s (at most {last['steps']} steps each); "
        f"floor {last['floor']:.3g}."
    )


if __name__ == "__main__":
    main()
