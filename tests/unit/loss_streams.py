"""Streams of losses for the tests of drift."""

import random


def coins(seed, share, count):
    rng = random.Random(seed)
    return [float(rng.random() < share) for _ in range(count)]
