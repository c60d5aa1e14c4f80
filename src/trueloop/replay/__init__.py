"""Public data sets as traces and verdicts: one module per format, all pure."""
