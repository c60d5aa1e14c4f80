"""The commands of `trueloop`, one module per command. Each imports what it needs when it runs."""
