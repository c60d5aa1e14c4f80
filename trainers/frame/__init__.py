"""What every training method stands on: its settings, its rows, loading, the run with stopping and resuming, and the finished checkpoint."""
