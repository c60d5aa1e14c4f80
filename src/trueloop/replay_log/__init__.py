"""The comparison of a log with what a rebuild makes of it: pure, records in and differences out."""
