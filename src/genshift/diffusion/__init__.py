"""Noise schedules, samplers and guidance; networks are known here as functions only."""
