"""Rubrics and policies: versioned documents that govern the loop."""

from trueloop.rubrics.canonical import canonical_json, content_hash
from trueloop.rubrics.governance import Governance, InForce
from trueloop.rubrics.policy import Policy
from trueloop.rubrics.rubric import OVERALL, Rubric

__all__ = ["OVERALL", "Governance", "InForce", "Policy", "Rubric", "canonical_json", "content_hash"]
