"""Drift of bounded losses: an e-detector with a declared average run length. Pure: numbers in, numbers out."""

from trueloop.drift.chernoff import upper_bound
from trueloop.drift.detector import Detector, Reference, Sample, null_mean, threshold, update
from trueloop.drift.shiryaev_roberts import ShiryaevRoberts

__all__ = ["Detector", "Reference", "Sample", "ShiryaevRoberts", "null_mean", "threshold", "update", "upper_bound"]
