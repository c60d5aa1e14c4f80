"""What `bench/stream.py` compares: each case is a process of its own that reads the same traces."""
