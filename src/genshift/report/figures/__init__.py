"""Drawings and pictures, each a function from a run (or rows, or a sweep) to a `Figure` or `Picture` of `blocks.py`.

`plotting.py` holds what all plotly figures share: colours, axes over images seen, and the JSON that a page embeds.
`adaptation.py` draws latent spaces, confusion matrices, curves that any run may have, and the overview of accuracies;
`generators.py` losses, alarms and a VAE's latent space over training; `diffusion.py` sweeps. `thumbnails.py` makes
small PNG pictures of the same data, and `pictures.py` embeds those that a run folder holds.

Text and grid take their colours from page.css, so that a theme or paper can change them; a figure sets those of its
data alone.
"""
