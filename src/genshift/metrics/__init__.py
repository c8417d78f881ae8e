"""Measures, one a file, each checked against a reference. They know networks only as functions."""
