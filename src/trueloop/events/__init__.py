"""The typed events of the loop, one module per event. Their Avro schemas lie in `trueloop.schemas`."""

from trueloop.events.agreement import AgreementEstimate, Undefined
from trueloop.events.agreement_units import AgreementUnits, UnitCounts
from trueloop.events.appeal import Appeal
from trueloop.events.base import Event, Record
from trueloop.events.calibration_item import CalibrationItem, CalibrationReason
from trueloop.events.conversation import Message, Role, prompt_hash
from trueloop.events.dataset_order import DatasetOrder, DatasetOrderKind, LeftOutPair
from trueloop.events.dataset_version import DatasetKind, DatasetVersion, DimensionAgreement, FreezeCause, OffsetRange
from trueloop.events.drift import DriftFamily, DriftingSeries, DriftSignal, DriftState
from trueloop.events.drift_observations import DriftObservations, WorstItem
from trueloop.events.drift_values import DriftValues
from trueloop.events.evaluation import Diagnostic, DiagnosticKind, Evaluation, EvaluationWarning, EvaluatorEvidence, ItemOnTrial, PairedScores
from trueloop.events.gate import DimensionVerdict, GateDecision, GateReason, Verdict
from trueloop.events.gold import GoldAnswer
from trueloop.events.governance import Erasure, PolicyPublished, RubricPublished
from trueloop.events.identity import derive_id, permutation, unit_interval
from trueloop.events.item_truth import ItemTruth, StandingVoice, UnitTruth
from trueloop.events.job_order import JobOrder, JobOrderKind
from trueloop.events.judgement import Critique, Preference, Rating, Rewrite, Severity, SpanMark
from trueloop.events.label import Label
from trueloop.events.preference_pair import DimensionOutcome, PairSource, PreferencePair
from trueloop.events.quality_estimate import EstimateMethod, JudgeFallback, NoEstimate, QualityEstimate
from trueloop.events.release import Release, ReleaseReason
from trueloop.events.review_quota import ReviewQuota
from trueloop.events.review_task import Candidate, ReviewForm, ReviewTask, SamplingReason, Split
from trueloop.events.reviewed_trace import ReviewedTrace
from trueloop.events.reviewer_quality import DimensionReliability, ReviewerQuality, ReviewerReason, ReviewerStatus
from trueloop.events.slice_disagreement import SliceDisagreement
from trueloop.events.trace import Alternative, Consent, Trace
from trueloop.events.training_request import TrainingRequest, TriggerReason, job_id_of
from trueloop.events.training_result import JobStatus, TrainingResult
from trueloop.events.trial import Trial, TrialOutcome, TrialReference, TrialVerdict, trial_task_id

__all__ = [
    "AgreementEstimate", "AgreementUnits", "Alternative", "Appeal", "CalibrationItem", "CalibrationReason", "Candidate", "Consent", "Critique", "DatasetKind",
    "DatasetOrder", "DatasetOrderKind", "DatasetVersion", "Diagnostic", "DiagnosticKind", "DimensionAgreement", "DimensionOutcome", "DimensionReliability",
    "DimensionVerdict", "DriftFamily", "DriftObservations", "DriftSignal", "DriftState", "DriftValues", "DriftingSeries", "Erasure", "EstimateMethod",
    "Evaluation", "EvaluationWarning", "EvaluatorEvidence", "Event", "FreezeCause", "GateDecision", "GateReason", "GoldAnswer", "ItemOnTrial", "ItemTruth",
    "JobOrder", "JobOrderKind", "JobStatus", "JudgeFallback", "Label", "LeftOutPair", "Message", "NoEstimate", "OffsetRange", "PairSource", "PairedScores",
    "PolicyPublished", "Preference", "PreferencePair", "QualityEstimate", "Rating", "Record", "Release", "ReleaseReason", "ReviewForm", "ReviewQuota",
    "ReviewTask", "ReviewedTrace", "ReviewerQuality", "ReviewerReason", "ReviewerStatus", "Rewrite", "Role", "RubricPublished", "SamplingReason", "Severity",
    "SliceDisagreement", "SpanMark", "Split", "StandingVoice", "Trace", "TrainingRequest", "TrainingResult", "Trial", "TrialOutcome", "TrialReference",
    "TrialVerdict", "TriggerReason", "Undefined", "UnitCounts", "UnitTruth", "Verdict", "WorstItem", "derive_id", "job_id_of", "permutation", "prompt_hash",
    "trial_task_id", "unit_interval",
]  # fmt: skip
