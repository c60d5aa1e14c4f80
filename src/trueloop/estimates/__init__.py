"""Quality from labels that were not sampled alike: means with intervals that cover, with and without a judge. Pure: columns in, estimates out."""

from trueloop.estimates.aipw import aipw, aipw_of
from trueloop.estimates.calibration import CalibrationBin, calibration_curve, calibration_in_the_large, calibration_slope
from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.hajek import hajek, hajek_of
from trueloop.estimates.moments import SampleMoments, sample_moments
from trueloop.estimates.partial_pooling import PooledEstimate, partial_pooling
from trueloop.estimates.pearson import pearson_correlation
from trueloop.estimates.prediction_powered import Fallback, PredictionPoweredEstimate, prediction_powered_mean, prediction_powered_mean_of
from trueloop.estimates.slices import by_slice

__all__ = [
    "CalibrationBin", "Estimate", "Fallback", "PooledEstimate", "PredictionPoweredEstimate", "SampleMoments", "Undefined", "aipw", "aipw_of",
    "by_slice", "calibration_curve", "calibration_in_the_large", "calibration_slope", "hajek", "hajek_of", "partial_pooling",
    "pearson_correlation", "prediction_powered_mean", "prediction_powered_mean_of", "sample_moments",
]  # fmt: skip
