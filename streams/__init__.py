"""Faust apps: thin shells over `trueloop.processors`."""

if __name__ == "streams":
    raise ImportError("import trueloop.streams instead of streams: as two modules its agents would register twice")
