"""The run folder, its only reader and writer.

- `folder` is the folder: config.json, logs, numbered checkpoints and the best; `checkpoint` one checkpoint (safetensors
  with its description in the header), `files` whole-or-absent writing, `png` pictures.
- `trained_run.open_run` opens a run once: preset, method over the trained networks, classes.
- `results` is the form of measured values and of the card; `records` reads all that a folder says, for reports; `find`
  looks for runs, and for those that stand beside one. `records`, `results`, `find` and `folder` import no torch.
- `owner` says who is at work in a folder, and that it is one process at a time.
- `sorting` puts a user's pictures into the folders of the classes that they are taken for.
- `clean` drops from a finished run what only continuing needs.

Keys of config.json, checkpoints and results.json stay what they are: folders of earlier versions go on being read.
"""
