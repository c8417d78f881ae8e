"""Models that leave the house: what a trained run answers with, as one file that runs without genshift, or as a bundle.

- `reading.py`: from pictures in bytes, of any size, to what a network takes, as a graph of plain operations: the
  centred square or the padded one, colour, resizing and normalisation, as `genshift.data.pixels` does them.
- `parts.py`: the parts of a run that can be exported (classifier, encoder, decoder, prior, generator, denoiser, weak),
  each a module with examples of its inputs and with genshift's own answers to some.
- `about.py`: what the file says of itself: classes, size, measures, data with their licences, versions.
- `write.py`: the file, in one of three formats, written whole and only if it answers as PyTorch does.
- `bundle.py`: a run as a folder in a model hub's form, without its data, which `genshift.load` opens as it opens the
  run; `model_card.py`: its README.md; `hub.py`: sending it.

A new part is a function and a row of `parts.PARTS`; a new format is one of `write.FORMATS`.
"""
