"""The command line: words to calls of `genshift.api`, and how each command ends.

- A command is a function, whose docstring is its line in `genshift --help`: `training`, `drawing`, `models`, `studies`
  and `exports` have those of their kind, `main` the others, and `data` those of `genshift data`.
- `parser` holds the parser, which refuses in one sentence, and the flags that commands share. The flags of a preset's
  options are made from the preset.
- `listing` is what `ls` and `show` print; `endings` is how commands end: with results and the next command.

A new command is a function in one of them, a name in `VERBS` of `main`, and a function of the same name in
`genshift.api`. Nothing here imports torch before a command needs it.
"""
