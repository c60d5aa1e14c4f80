"""Drift: alarms with a declared false-alarm rate, and descriptions with calibrated bands. Pure: numbers in, numbers out."""

from trueloop.drift.betting_confidence_sequence import ConfidenceSequence, betting_confidence_sequence
from trueloop.drift.budget import average_run_length
from trueloop.drift.comparison import Comparison, Undefined, most_drifted
from trueloop.drift.cosine import cosine_losses, cosine_similarity
from trueloop.drift.detector import Change, Contract, Detector, Sample, null_mean, rebase, rebased_on_release, threshold, update, update_batch
from trueloop.drift.divergences import jensen_shannon_divergence, population_stability_index
from trueloop.drift.e_benjamini_hochberg import Discoveries, e_benjamini_hochberg
from trueloop.drift.e_detector import Detection, e_detector
from trueloop.drift.embedding_window import EmbeddingWindow, reference_window
from trueloop.drift.histogram import Histogram
from trueloop.drift.loss_window import LossWindow
from trueloop.drift.losses import disagreement, judge_gap, rating_loss
from trueloop.drift.maximum_mean_discrepancy import maximum_mean_discrepancy
from trueloop.drift.random_features import RandomFeatures
from trueloop.drift.reference import Reference
from trueloop.drift.shiryaev_roberts import Alarm, ShiryaevRoberts, shiryaev_roberts
from trueloop.drift.two_sample import two_sample_e_value
from trueloop.drift.wasserstein import wasserstein_distance
from trueloop.drift.windows import Full, Windows, fill, restarted, restarted_on_release

__all__ = [
    "Alarm", "Change", "Comparison", "ConfidenceSequence", "Contract", "Detection", "Detector", "Discoveries", "EmbeddingWindow", "Full", "Histogram",
    "LossWindow", "RandomFeatures", "Reference", "Sample", "ShiryaevRoberts", "Undefined", "Windows", "average_run_length", "betting_confidence_sequence",
    "cosine_losses", "cosine_similarity", "disagreement", "e_benjamini_hochberg", "e_detector", "fill", "jensen_shannon_divergence", "judge_gap",
    "maximum_mean_discrepancy", "most_drifted", "null_mean", "population_stability_index", "rating_loss", "rebase", "rebased_on_release",
    "reference_window", "restarted", "restarted_on_release",
    "shiryaev_roberts", "threshold", "two_sample_e_value", "update", "update_batch", "wasserstein_distance",
]  # fmt: skip
