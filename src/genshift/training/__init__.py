"""From a preset to a trained run folder.

- `train.train` reads as a run, top to bottom; `loop.Trainer` is the one loop: when steps, readings, checks and
  checkpoints come. What a step does is the method's (`genshift.methods`).
- What training may see: `training_data` (the sets that a step draws from), `domains` (of an adaptation: the target
  without its labels).
- `probe` takes four steps beforehand to tell speed and memory, `plan` says by them what a training would cost, `ema` is
  the moving average of weights, `distributed` the processes that share a batch.
- `tracking` feeds a tracker of experiments (TensorBoard, Weights & Biases, MLflow) what the run folder gets.
- `console` is what all commands say while they work: lines, a bar, or one line that changes in a notebook; and the log.

The loop calls observers at each check and gets nothing back, so nothing that measures can steer.
"""
