"""genshift beside its peers in one run: training, epochs from files, drawing, evaluation, start and peak memory.

    python benchmarks/peers.py --out runs/peers --write docs/speed.md

The peers are installed into a virtual environment below --out, where genshift is measured too: all arms have one
Python, one PyTorch, and the same networks, pictures, batches and threads. Every measurement is a fresh process, kept on
as many cores as it has threads. Rounds alternate the arms; the tables hold medians with their range, and ratios are of
neighbours in a round. Stopped anywhere, the same command goes on. `--check` compares parameters and first losses and
times nothing; `--quick` takes the smallest sizes once, to see that every arm runs.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from beside import environment, table
from beside.measuring import BUSY, Bench, rounds, say
from beside.measuring import environment as variables

CLOSE = 2e-3  # relative: float32 in another order; BatchNorm over a batch magnifies it
COUNT = 512  # pictures of an epoch
FEWEST = 128  # a hundred is what denoising-diffusion-pytorch's Trainer asks for
FEATURES = 2_000  # rows of the measures of features
PASSES = 12  # network passes a drawn picture
UNFAIR = """\
What is not equal, and cannot be made so: digits-diffusion steps by Muon, which costs more than the AdamW of the other
loops; genshift's arms keep a moving average of the weights and prepare their batches from bytes, while other loops are
given ready float batches (skada and pythae, whose own loaders take one picture at a time from an array, cannot be).
pytorch-adapt reads every loss back in each step and shows its discriminator one domain after the other; skada passes
both domains through the extractor in one batch. In CDAN their losses are others than genshift's: pytorch-adapt scales
its entropy weights by the largest, skada takes logits for probabilities and weighs nothing. pythae's copy of the best
model after each epoch is left out. denoising-diffusion-pytorch's Trainer knows no labels, and its loaders work in
processes of their own, kept on the same cores. diffusers has no trainer: its arm is the loop of its own example. A
peer's start leaves out what importing genshift took, whose networks it is given. bfloat16 is the peer's own switch;
where there is none, none is named."""


def main() -> None:
    """Installs, measures, prints the tables, and writes them where that is asked for."""
    args = parsed()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = args.environment or args.out / "environment"
    absent = environment.prepare(folder.absolute(), say)
    for name, reason in absent.items():
        say(f"{name} is left out: {reason}.")
    bench = Bench(environment.python_of(folder.absolute()), args.out.absolute(), args.threads, say)
    plan = planned(bench, args, absent)
    if args.check:
        raise SystemExit(1 if compared(bench, plan) else 0)
    found = measured(bench, plan, args)
    text = document(found, plan, absent, environment.versions(folder.absolute()), args)
    print(text)
    (args.out / "tables.md").write_text(text, encoding="utf-8")
    if args.write:
        table.write_between(args.write, "peers", text)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the measurements, which a later start goes on"
    )
    parser.add_argument("--environment", type=Path, help="the peers' virtual environment (default: below --out)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", help="some of them (default: all)")
    parser.add_argument("--arms", nargs="+", help="some of them (default: all)")
    parser.add_argument("--measurements", nargs="+", help="some of train, epoch, draw, evaluate (default: all)")
    parser.add_argument("--check", action="store_true", help="compare parameters and first losses, and end")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, one round: does every arm run?")
    parser.add_argument("--write", type=Path, help="the document whose tables are written anew")
    args = parser.parse_args()
    if args.quick and args.write:
        parser.error("--quick measures too little to be written down: leave it or --write out.")
    return args


def planned(bench: Bench, args: argparse.Namespace, absent: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The tasks with their arms that are there, as the environment's own genshift lists them."""
    words = (
        "import json; from beside.tasks import TASKS, batch_of, measurements\n"
        "print(json.dumps({t.name: {'title': t.title, 'family': t.family, 'arms': t.arms, 'steps': t.steps, 'drawn': "
        "t.drawn, 'batch': batch_of(t), 'measurements': measurements(t)} for t in TASKS.values()}))"
    )
    argv = [str(bench.python), "-c", words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=variables(args.threads))
    plan: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    if unknown := set(args.tasks or ()) - set(plan):
        raise SystemExit(f"There is no task {', '.join(sorted(unknown))}: {', '.join(plan)}.")
    gone = {
        arm
        for task in plan.values()
        for arm in task["arms"]
        for p in environment.PEERS
        if p.serves(arm) and p.name in absent
    }
    for task in plan.values():
        task["arms"] = [arm for arm in task["arms"] if arm not in gone and (not args.arms or arm in args.arms)]
        task["measurements"] = [m for m in task["measurements"] if not args.measurements or m in args.measurements]
    return {name: task for name, task in plan.items() if not args.tasks or name in args.tasks}


def compared(bench: Bench, plan: dict[str, dict[str, Any]]) -> list[str]:
    """Prints, of each arm, its parameters and its first loss beside PyTorch's; returns what differs."""
    wrong = []
    for name, task in plan.items():
        if task["family"] == "measures":
            continue
        counts = {}
        for arm in (arm for arm in task["arms"] if not arm.endswith("-bfloat16")):
            count = max(task["batch"].values())
            found = bench.measure({"task": name, "arm": arm, "measurement": "check", "count": count}, "check")
            counts[arm] = found.get("parameters")
            wrong += [f"{name}, {arm}: {problem}" for problem in differences(found)]
            losses = [f"{found[key]:.6f}" for key in ("own_loss", "expected_loss") if key in found]
            print(f"{name:12} {arm:28} {counts[arm] or 0:>12,} parameters  loss {' beside '.join(losses) or '–'}")
        if len(set(counts.values())) > 1:
            wrong.append(f"{name}: the arms have other numbers of parameters: {counts}")
    for line in wrong:
        print(f"NOT EQUAL: {line}")
    return wrong


def differences(found: dict[str, Any]) -> list[str]:
    """What is not as it should be of one arm's comparison."""
    if "error" in found:
        return [found["error"]]
    if "own_loss" not in found:
        return []
    own, expected = found["own_loss"], found["expected_loss"]
    return [] if abs(own - expected) <= CLOSE * abs(expected) else [f"loss {own:.6f}, expected {expected:.6f}"]


def measured(bench: Bench, plan: dict[str, dict[str, Any]], args: argparse.Namespace) -> list[dict[str, Any]]:
    """All measurements of all rounds."""
    jobs = [
        job(name, task, arm, measurement, bench, args)
        for name, task in plan.items()
        for measurement in task["measurements"]
        for arm in task["arms"]
    ]
    return [bench.measure(words, number) for number, words in rounds(1 if args.quick else args.rounds, jobs)]


def job(
    name: str, task: dict[str, Any], arm: str, measurement: str, bench: Bench, args: argparse.Namespace
) -> dict[str, Any]:
    """What a measuring process is told."""
    batch = max(task["batch"].values(), default=0)
    count = max(FEWEST if args.quick else COUNT, 2 * batch)
    if task["family"] == "measures":
        count = 300 if args.quick else FEATURES
    words = {
        "task": name, "arm": arm, "measurement": measurement, "count": count,
        "steps": 1 if args.quick else task["steps"], "drawn": 50 if args.quick else task["drawn"],
        "passes": 2 if args.quick else PASSES,
    }  # fmt: skip
    if measurement == "epoch":
        words["pictures"] = str(bench.out / "pictures")
    return words


# --- what is told -----------------------------------------------------------------------------------------------------


def document(
    found: list[dict[str, Any]],
    plan: dict[str, dict[str, Any]],
    absent: dict[str, str],
    versions: dict[str, str],
    args: argparse.Namespace,
) -> str:
    """The tables with how they were measured."""
    trained = {n: (t["title"], t["arms"]) for n, t in plan.items() if t["family"] != "measures"}
    measures = {n: (t["title"], t["arms"]) for n, t in plan.items() if t["family"] == "measures"}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    busy = [row["busy"] for row in found if row.get("busy") is not None]
    quiet = f"others kept {max(busy):.1f} cores busy at most" if busy else "what else was at work is not known"
    lines = [
        f"Measured on {machine()}, {args.threads} thread{'s' if args.threads > 1 else ''}, Python "
        f"{platform.python_version()}; {told}. Medians of {1 if args.quick else args.rounds} rounds that alternate the "
        f"arms, ranges in brackets; {quiet}.",
        table.training_table(found, trained) if trained else "",
        f"{FEATURES:,} rows of 256 features:" if measures else "",
        table.measures_table(found, measures) if measures else "",
        UNFAIR,
        *(f"{name} could not be installed: {reason}." for name, reason in absent.items()),
        *(f"Not measured: {line}." for line in table.errors(found)),
    ]
    if busy and max(busy) > BUSY:
        lines.append("The machine was not quiet, so these are no figures to quote.")
    return "\n\n".join(line for line in lines if line)


def machine() -> str:
    """The machine's class in words."""
    from genshift import device

    return device.machine(device.choose_device("cpu"))


if __name__ == "__main__":
    main()
