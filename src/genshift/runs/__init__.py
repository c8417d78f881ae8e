"""The run folder, its only reader and writer: configuration, checkpoints, results, records."""
