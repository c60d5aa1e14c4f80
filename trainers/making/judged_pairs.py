"""Preferences of a judge: measured against people's, and made between a model's answers."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from trueloop.trainers.loaded_model import LoadedModel
from trueloop.trainers.making.answering import require_answering
from trueloop.trainers.making.kept_rows import KeptRows
from trueloop.trainers.making.samples import Decoding, Messages, draw

from trueloop.adapters.judge_records import JudgeRecords
from trueloop.judges import Judge, JudgeAgreement, NoJudgement, Preference
from trueloop.rubrics import OVERALL, Rubric

NO_ANSWER, EQUAL, TIE = "NO_ANSWER", "EQUAL", "TIE"
"""Why a prompt has no preference, beside the reasons of NoJudgement: too few answers came to an end, they are the same, or the judge said so."""


class HumanPair(NamedTuple):
    """Two answers of which people chose the first."""

    prompt: Messages
    chosen: str
    rejected: str


def measured(
    judge: Judge,
    rubric: Rubric,
    pairs: Mapping[str, HumanPair],
    n: int,
    *,
    kept: KeptRows,
    models: Path | None,
    alive: Callable[[int, int], None] | None = None,
) -> JudgeAgreement:
    """Return how often the judge prefers, over all, what people chose, on `n` of the pairs by hash of their ids; ties and silence do not count.

    It is kept in the judge's record, if there is a model store. With `n` 0 nothing is asked and the record is returned.
    """
    records = JudgeRecords(models) if models is not None else None
    if n == 0:
        known = records.agreement(judge.fingerprint, rubric, OVERALL) if records else None
        return known or JudgeAgreement(0, 0)
    chosen = sorted(pairs, key=lambda name: hashlib.sha256(f"measure\x1f{name}".encode()).digest())[:n]

    def ask(asked: Sequence[HumanPair]) -> Iterable[dict[str, Any]]:
        # Which side people chose does not hang on the side it is shown at: the judge is asked both ways.
        said = judge.prefer(rubric, OVERALL, [pair.prompt for pair in asked], [pair.chosen for pair in asked], [pair.rejected for pair in asked])
        require_answering(said)
        return [{"dropped": outcome.reason.value} if isinstance(outcome, NoJudgement) else {"preference": outcome.value} for outcome in said]

    rows = kept.complete({name: pairs[name] for name in chosen}, ask, alive).values()
    firsts = sum(row.get("preference") == Preference.FIRST.value for row in rows)
    agreement = JudgeAgreement(firsts, firsts + sum(row.get("preference") == Preference.SECOND.value for row in rows))
    if records is not None:
        records.note(judge.fingerprint, rubric, OVERALL, agreement, datetime.now(UTC))
    return agreement


def preferred(load: Callable[[], LoadedModel], judge: Judge, rubric: Rubric, prompts: Sequence[Messages], how: Decoding) -> Iterable[dict[str, Any]]:
    """Return for each prompt which of two answers of the model the judge prefers (`chosen`, `rejected`), or why there is none (`dropped`)."""
    rows: list[dict[str, Any]] = []
    for texts in draw(load(), prompts, how):
        different = list(dict.fromkeys(texts))
        rows.append({"pair": different[:2]} if len(different) > 1 else {"dropped": EQUAL if len(texts) > 1 else NO_ANSWER})
    asked = [number for number, row in enumerate(rows) if "pair" in row]
    firsts, seconds = ([rows[number]["pair"][side] for number in asked] for side in (0, 1))
    judged = judge.prefer(rubric, OVERALL, [prompts[number] for number in asked], firsts, seconds)
    require_answering(judged)
    for number, said in zip(asked, judged, strict=True):
        first, second = rows[number].pop("pair")
        if said is Preference.FIRST:
            rows[number] = {"chosen": first, "rejected": second}
        elif said is Preference.SECOND:
            rows[number] = {"chosen": second, "rejected": first}
        else:
            rows[number] = {"dropped": said.reason.value if isinstance(said, NoJudgement) else TIE}
    return rows
