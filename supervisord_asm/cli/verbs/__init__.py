"""asmctl's verbs, one file each, each with a `COMMAND`. asmctl imports the one that it runs."""
