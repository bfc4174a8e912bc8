"""The command line: thin; asks the running parts, or calls one of the other folders when a command needs it."""
