"""The mathematics of diffusion models; networks are known here as functions only.

- `process`: how pictures become noise (the schedules of DDPM, flow matching, EDM), what a network predicts there, what
  its error weighs, and the levels that a sampler climbs down.
- `samplers`: from noise to a picture, for any process; one function each.
- `guidance`: a prediction moved away from a worse model's.

A sampler is a generator of `State`s, a line in `samplers.SAMPLERS` and a word of `genshift.presets.Sampling.sampler`,
after which `python tests/test_keywords.py` writes `presets/keywords.py` anew. A process is a class with the methods of
`process.Process`, a line in `process.PROCESSES` and a word of `genshift.presets.Diffusion.process`. How a network
learns to predict is in `genshift.methods.diffusion`.
"""
