"""The run folder and all that reads or writes it.

`folder` has its files and checkpoints, `checkpoint` the form of those, `files` writing that is whole or absent,
`results` what was measured, `records` everything a report reads, `find` runs below a folder and beside a run.
`trained_run.open_run` opens a run once: preset, method, classes. `clean` drops what only continuing needs.
"""
