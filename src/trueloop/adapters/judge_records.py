"""How often each judge agreed with people, as it was measured last, kept beside the models.

    ROOT/judges/FINGERPRINT.json    by rubric, version and dimension

A fingerprint stands for what answers and how it is asked, so a judge that is set otherwise starts without a record.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trueloop.judges import JudgeAgreement
from trueloop.rubrics import Rubric


@dataclass(frozen=True, slots=True)
class JudgeRecord:
    """An agreement, and when it was measured."""

    agreement: JudgeAgreement
    measured_at: datetime


class JudgeRecords:
    """The records of judges under the root of a model store."""

    def __init__(self, models: Path) -> None:
        self._folder = models / "judges"

    def of(self, fingerprint: str) -> Mapping[str, JudgeRecord]:
        """Return what was measured of a judge, by 'RUBRIC@VERSION/DIMENSION'; nothing when the file is absent or damaged."""
        try:
            content = json.loads(self._path(fingerprint).read_text(encoding="utf-8"))
            return {
                str(key): JudgeRecord(JudgeAgreement(int(found["agreed"]), int(found["n"])), datetime.fromisoformat(found["measured_at"]))
                for key, found in content.items()
            }
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def agreement(self, fingerprint: str, rubric: Rubric, dimension: str) -> JudgeAgreement | None:
        """Return how often a judge agreed with people on a dimension (or OVERALL), None when that was not measured."""
        record = self.of(fingerprint).get(_key(rubric, dimension))
        return record.agreement if record else None

    def note(self, fingerprint: str, rubric: Rubric, dimension: str, agreement: JudgeAgreement, at: datetime) -> None:
        """Keep a measurement in place of an earlier one, unless that is newer or this one rests on no pair."""
        known = dict(self.of(fingerprint))
        key = _key(rubric, dimension)
        if not agreement.n or (key in known and known[key].measured_at > at):
            return
        known[key] = JudgeRecord(agreement, at)
        content = {
            name: {"agreed": record.agreement.agreed, "n": record.agreement.n, "measured_at": record.measured_at.isoformat()}
            for name, record in sorted(known.items())
        }
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path(fingerprint).with_suffix(f".{os.getpid()}.new")
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.rename(self._path(fingerprint))

    def _path(self, fingerprint: str) -> Path:
        return self._folder / f"{fingerprint}.json"


def _key(rubric: Rubric, dimension: str) -> str:
    return f"{rubric.id}@{rubric.version}/{dimension}"
