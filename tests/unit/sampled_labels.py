"""Labels that a sampler asked for by the scores of a judge."""

import random


def sample(seed, n=400, clusters=None, scale=1.0):
    """Labels that were sampled where the judge saw faults; some scores of the judge are missing."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        quality = rng.betavariate(4, 1)
        judge = min(1.0, max(0.0, quality + rng.gauss(0, 0.1)))
        probability = min(1.0, 0.1 + 0.8 * (1 - judge))
        value = scale * (rng.random() < quality) if rng.random() < probability else None
        rows.append((value, probability, None if rng.random() < 0.05 else judge, rng.randrange(clusters) if clusters else None))
    return [list(column) for column in zip(*rows, strict=True)]
