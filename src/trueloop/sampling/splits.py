"""Train and calibration splits by the hash of the prompt."""

from trueloop.events import Split
from trueloop.events.identity import unit_interval


def split_of(prompt_hash: str, calibration_share: float) -> Split:
    """Return the split of a prompt. Raising the share only moves prompts from TRAIN to CALIBRATION, never back.

    >>> split_of("any", 0.0), split_of("any", 1.0)
    (<Split.TRAIN: 'TRAIN'>, <Split.CALIBRATION: 'CALIBRATION'>)
    """
    return Split.CALIBRATION if unit_interval("split", prompt_hash) < calibration_share else Split.TRAIN
