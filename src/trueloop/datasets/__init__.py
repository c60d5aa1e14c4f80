"""Datasets as pure functions of ranges of the log: what is trained on, and what is held out."""
