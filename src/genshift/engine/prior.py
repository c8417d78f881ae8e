"""The former name of `drawable`."""

from genshift.engine.drawable import fit_and_store, has_mixture, open_generator

__all__ = ["fit_and_store", "has_mixture", "open_generator"]
