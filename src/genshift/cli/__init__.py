"""The command line: words to calls of `genshift.api`, and how each command ends.

- `main` has a function for each command, whose docstring is its line in `genshift --help`; `data` those of `genshift
  data`.
- `parser` holds the parser, which refuses in one sentence, and the flags that commands share. The flags of a preset's
  options are made from the preset.
- `listing` is what `ls` and `show` print; `endings` is how commands end: with results and the next command.

A new command is a function in `main`, a name in `VERBS`, and a function of the same name in `genshift.api`. Nothing
here imports torch before a command needs it.
"""
