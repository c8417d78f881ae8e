"""genshift beside what people use today: the same networks, data, batch and threads, in one run.

- `environment` installs the peers into a virtual environment of their own, each by itself, and says of what cannot be
  installed why. genshift is measured in that environment too, so that all arms share one build of PyTorch.
- `tasks` is what is held equal: networks from one seed, pictures, batches.
- `adaptation`, `diffusion`, `vae`, `measures` hold the arms: a class for each way of doing a task. An arm trains by the
  loop that its package offers, and tells its loss of the first batch beside what plain PyTorch computes of it.
- `worker` takes one measurement in a fresh process; `measuring` starts such processes, pinned to as many cores as there
  are threads, in rounds that interleave the arms, and keeps what each said, so that a run that was stopped goes on.
- `table` makes the tables, and writes them between two markers of a document.
- `learners` and `judging` are what `benchmarks/quality.py` trains and measures; `limits` what `ceilings.py` does.

A new peer is a line in `environment.PEERS`, a class with a line in `ARMS` of its file, and a word in `tasks.TASKS`.
"""
