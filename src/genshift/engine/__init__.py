"""The one training loop, run folders, checkpoints, distribution, evaluation."""
