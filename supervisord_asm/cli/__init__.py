"""The operators' commands: asmstatus, asmlist, asminfo and asmctl with its verbs.

One file per command and per verb (verbs/). Each holds a `COMMAND`: its words, options and what to
run; `command.py` does what all share: parsing, errors to exit codes, a closed pipe, Ctrl-C.

A command has 60 ms from exec to output with /usr/bin/python3, of which the interpreter and the
modules that speak to the socket take 30. So nothing here imports argparse, logging, asyncio or the
configuration at the top: options.py is a small parser of its own, asmctl imports the one verb that
was asked for, and a verb imports what only some of its paths need where it needs it.
"""
