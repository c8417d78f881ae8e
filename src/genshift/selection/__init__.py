"""Choosing a checkpoint of an adapted run without one target label.

- `checkpoint_selection` keeps candidates while a run trains, scores them on held-out source images and bare target
  images, and writes scores.json and selection.json.
- `rules` says what the scores are, which candidate each rule takes, and what a user is told of the choice. It imports
  no torch, so that help texts and reports can use it.

The scores themselves are functions in `genshift.metrics.label_free`. How good a choice was, only target labels tell:
`genshift.evaluation.adaptation` measures that apart. A new score is a function there, a field of `rules.ModelScores`, a
line in `checkpoint_selection.scores_of` and a row of `rules.SCORES`, which makes it a rule too.
"""
