"""The command line.

`main` has a function a command, `parser` the flags that commands share, `data` the commands of `genshift data`,
`listing` what `ls` and `show` print, `endings` how a command ends. A command is a function of its words and a name in
`main.VERBS`; what it does stands in `genshift.api`.
"""
