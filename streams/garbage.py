"""What the garbage collector of a worker looks at."""

import gc

ROUND_EVERY = 20_000
"""New objects that set off a round. What a batch makes dies without the collector, so rounds at Python's 700 find nothing, some fifty times a second."""


def spare_what_stays() -> None:
    """Have the collector pass over everything that is there now: what a worker has loaded when it starts stays until it ends.

    Without this every full round looks at a hundred thousand objects of libraries; with it, at those of the batches in progress.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(ROUND_EVERY)
