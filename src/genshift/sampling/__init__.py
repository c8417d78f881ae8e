"""From a trained generator to pictures.

- `trained_generator.open_generator` opens a run ready to draw: a VAE with its fitted mixture, a diffusion model with
  its sampling, and the early state that guides it (`autoguidance` keeps and loads that).
- `sampler_settings` decides how a diffusion run draws: a user's changes, before what a sweep chose, before the preset.
- `student` describes a student of a diffusion run: the run's own preset, its guidance folded in, and a budget.
- `write_samples` writes folders of PNG files: samples, and reconstructions of given pictures.

How a method draws is in `genshift.methods`, the samplers themselves in `genshift.diffusion`; which settings are best is
measured in `genshift.evaluation.sweep`. A new setting is a field of `genshift.presets.Sampling`: `genshift sample` and
`genshift evaluate` then take it as a flag.
"""
