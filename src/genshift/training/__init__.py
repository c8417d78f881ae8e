"""From a preset to a trained run folder.

`train.train` reads as a run, top to bottom, and `loop` is the one loop: it knows when, the method knows what.
`training_data` and `domains` say what may be seen (the target without labels). `probe` measures speed and memory,
`plan` the cost of a run before it begins. `ema`, `distributed` and `console` serve them.
"""
