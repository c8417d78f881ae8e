"""Builders: functions from a `Subject` or the whole `PageModel` to the blocks that say it, one file a kind of section.

`adaptation.py`, `generators.py` and `diffusion.py` hold what one kind of runs has alone, `shared.py` what several have,
`provenance.py` what every section ends with; `method_comparison.py`, `label_free.py`, `shortfalls.py` and
`citations.py` are of all runs together. None says where its blocks go: `contents.py` lists them in order. A builder
computes no value; it takes the model's, and puts words, tables and drawings around them.
"""
