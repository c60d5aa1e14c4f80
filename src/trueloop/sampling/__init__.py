"""Which traces are put before people, with what probability, and what is held out."""
