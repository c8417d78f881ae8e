"""Measures, one a file, each checked against a reference in the tests. They know networks only as functions.

- Of classifiers: `classification` (accuracy, confusion; `binomial`: the error of a share), `label_free` (what can be
  said without labels), `labelled_share` (what a few labels say).
- Of generated pictures in features: `frechet`, `kid`, `manifold` (precision and recall); `inception` gives the features
  that published figures use.
- Of pictures as they are: `sharpness`, `faces` (how often a detector finds one), `neighbours` (are they copies of
  training pictures?), `reconstruction` (MSE, PSNR, SSIM).
- `embedding` lays features out in the plane, and draws the samples that are the same in every run; `inputs` checks what
  measures are given.

Figures are float64 on the CPU wherever that is cheap, so that they do not depend on the device. A new measure is a file
here, with its equation cited and its reference in a test; `genshift.evaluation` decides what it is taken of.
"""
