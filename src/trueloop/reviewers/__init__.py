"""Reviewers: how reliable they are, what is true given what they say, and what follows. Pure: judgements in, posteriors and decisions out."""

from trueloop.reviewers.consequences import Consequence, Evidence, consequence, needs_adjudication
from trueloop.reviewers.dawid_skene import DawidSkene, dawid_skene
from trueloop.reviewers.drift import reviewer_drift
from trueloop.reviewers.gold_accuracy import gold_accuracy, gold_accuracy_of
from trueloop.reviewers.gold_assignment import Assignment, KnownItem, assign_gold
from trueloop.reviewers.gold_items import GoldItem, Retirement, gold_is_due, gold_items, next_gold_item
from trueloop.reviewers.onboarding import Admission, OnboardingResult, onboarding
from trueloop.reviewers.reliability import DailyEvidence, Reliability, reliability, reliability_of
from trueloop.reviewers.shared_errors import SharedErrors, same_voice, shared_errors
from trueloop.reviewers.speed import Speed, speed
from trueloop.reviewers.truth import fitted_truth, item_truth, p_correct

__all__ = [
    "Admission", "Assignment", "Consequence", "DailyEvidence", "DawidSkene", "Evidence", "GoldItem", "KnownItem", "OnboardingResult", "Reliability",
    "Retirement", "SharedErrors", "Speed", "assign_gold", "consequence", "dawid_skene", "fitted_truth", "gold_accuracy", "gold_accuracy_of", "gold_is_due",
    "gold_items", "item_truth", "needs_adjudication", "next_gold_item", "onboarding", "p_correct", "reliability", "reliability_of", "reviewer_drift",
    "same_voice", "shared_errors", "speed",
]  # fmt: skip
