"""What is measured of a trained run, and the only room where the target's labels are read.

- **Entry**: `evaluate.evaluate` opens a run, has its family measure it, and writes results.json, evaluation.json and
  card.md; `evaluate.FAMILIES` names each family's evaluation, a `family.FamilyEvaluation`. `options` says what may be
  asked for; the types of what is written stand in `genshift.runs` (`results.Measure`, `records.Evaluation`).
- **Measures end for themselves**: `findings.Findings.measuring` is around each, and alone catches the Refusal of one.
- **A few labels**: `labels` draws pictures of a run's target within strata of confidence and says what their labels
  tell; `labelling` writes the plan and the page (`labelling_page` with label.html, label.css and label.js, of the
  pictures that `shown_pictures` reads); `audited_choice` chooses a checkpoint by them, under that name.
- **Families**: `adaptation` (the keeper of the target's labels, by way of `labelled_data`), `classification`,
  `generation` with what `vae` and `diffusion` add to it.
- **Generators beside real pictures**: `feature_distance` (in the features of a classifier or of Inception),
  `per_class` (class by class). The measures themselves are functions in `genshift.metrics`.
- **Pictures and figures**: `panels` (what stands in samples/), `reverse_process` (of a diffusion model).
- **Two folders**, or a folder and a run's data: `two_sets`.
- **Settings of a sampler**: `sweep` measures them and keeps the best.

A new measure of generators is a file in `genshift.metrics` and a line in `generation.measure_pictures`, or in
`feature_distance` where it compares features; its title, direction and meaning are an entry of
`genshift.report.model.measures`. A new family is a `FamilyEvaluation` and a line in `evaluate.FAMILIES`.
Training never imports this room: it calls the observers that `FamilyEvaluation.observers` makes, and gets nothing back.
"""
