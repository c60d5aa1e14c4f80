"""The data set formats: traces and verdicts from rows, on small rows always and on the real files where they are at hand."""

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trueloop.errors import ConfigurationError
from trueloop.events import Candidate, Consent, ReviewForm, ReviewTask, Role, SamplingReason, Split, prompt_hash
from trueloop.replay.formats import FORMATS, format_named
from trueloop.replay.hh_rlhf import dialogue
from trueloop.replay.item import ReplayItem, Target, UnusableRow
from trueloop.replay.labels import labels_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = Target("app", NOW)
DATA = Path(os.environ.get("TRUELOOP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))

PANDALM = {
    "idx": 1, "instruction": "Name a colour.", "input": "", "cmp_key": "opt-7b_llama-7b", "motivation_app": "Gmail",
    "response1": "Red", "response2": "Blue", "annotator1": 1, "annotator2": 2, "annotator3": 0,
}  # fmt: skip
HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant: Take care",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant: Go",
}
OUTPUT = {"instruction": "Name a colour.", "output": "Red", "generator": "m1", "dataset": "koala"}
JUDGED = {
    "instruction": "Name a colour.", "output_1": "Red", "output_2": "Blue", "generator_1": "m1", "generator_2": "m2",
    "annotator": "judge", "preference": 1.25,
}  # fmt: skip


def parse(name: str, row: dict[str, Any]) -> ReplayItem:
    return format_named(name).parse_row(row, TARGET)


def task_of(item: ReplayItem, texts: list[str] | None = None) -> ReviewTask:
    texts = texts if texts is not None else [item.trace.completion, *(alternative.completion for alternative in item.trace.alternatives)]
    return ReviewTask(
        event_id="e", occurred_at=NOW, application="app", task_id="task", trace_id=item.trace.trace_id, form=ReviewForm.PAIRWISE, rubric_id="r",
        rubric_version=1, rubric_hash="h", policy_id="p", policy_version=1, policy_hash="h", sampling_prob=1.0, stratum="all",
        reasons=[SamplingReason.UNIFORM], prompt_hash=prompt_hash(item.trace.messages), split=Split.TRAIN, trainable=True, labels_needed=3, pool="default",
        due_at=NOW, messages=item.trace.messages, candidates=[Candidate(candidate_id=f"c{i}", completion=text) for i, text in enumerate(reversed(texts))],
    )  # fmt: skip


def test_pandalm_has_three_verdicts_and_a_blind_pair() -> None:
    item = parse("pandalm", PANDALM)
    assert (item.trace.model, item.trace.completion) == ("opt-7b", "Red")
    assert (item.trace.alternatives[0].model, item.trace.alternatives[0].completion) == ("llama-7b", "Blue")
    assert item.trace.consent is Consent.TRAINING
    assert item.trace.slices == {"pair": "opt-7b_llama-7b", "app": "Gmail"}
    assert [(verdict.reviewer_id, verdict.preferred) for verdict in item.verdicts] == [
        ("pandalm-annotator-1", "Red"), ("pandalm-annotator-2", "Blue"), ("pandalm-annotator-3", None),
    ]  # fmt: skip


def test_a_pandalm_input_follows_the_instruction() -> None:
    assert parse("pandalm", PANDALM | {"input": "Warm ones."}).trace.messages[0].content == "Name a colour.\n\nWarm ones."


def test_an_answer_that_became_a_json_boolean_is_text_again() -> None:
    assert parse("pandalm", PANDALM | {"response1": True}).trace.completion == "True"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotator2": 3}, "field 'annotator2' is 3; expected 1, 2, or 0"),
        ({"annotator2": None}, "field 'annotator2' is a NoneType"),
        ({"cmp_key": "one"}, "field 'cmp_key'"),
        ({"instruction": 5}, "field 'instruction' is a int, expected text"),
    ],
)
def test_a_wrong_pandalm_row_names_the_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse("pandalm", PANDALM | change)


def test_hh_serves_one_answer_and_prefers_the_chosen_one() -> None:
    item = parse("hh-rlhf", HH)
    assert [message.role for message in item.trace.messages] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert {item.trace.completion, item.trace.alternatives[0].completion} == {"Take care", "Go"}
    assert [verdict.preferred for verdict in item.verdicts] == ["Take care"]
    assert item.trace.slices == {"turns": "several"}


def test_hh_does_not_always_serve_the_chosen_answer() -> None:
    served = {
        parse("hh-rlhf", {"chosen": f"\n\nHuman: {i}\n\nAssistant: good", "rejected": f"\n\nHuman: {i}\n\nAssistant: bad"}).trace.completion for i in range(20)
    }
    assert served == {"good", "bad"}


def test_hh_dialogues_that_part_early_are_unusable_and_no_dialogue_is_wrong() -> None:
    with pytest.raises(UnusableRow, match="prompts differ"):
        parse("hh-rlhf", HH | {"rejected": "\n\nHuman: Hey\n\nAssistant: Go"})
    for wrong in ("no turns", "\n\nHuman: Hi", "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: B", "text\n\nHuman: Hi\n\nAssistant: A"):
        with pytest.raises(ConfigurationError, match="field 'chosen' is no dialogue"):
            dialogue(wrong, "chosen")


def test_alpaca_outputs_are_traces_without_verdicts() -> None:
    item = parse("alpaca-eval", OUTPUT)
    assert (item.trace.model, item.trace.slices, item.verdicts, item.trace.scores) == ("m1", {"dataset": "koala", "generator": "m1"}, (), {})


def test_a_judge_gives_a_score_and_never_a_label() -> None:
    item = parse("alpaca-eval", JUDGED)
    assert item.verdicts == ()
    assert item.trace.scores == {"judge_preference": 0.75}  # 1 is "output_1 is better", which is the one that was served
    with pytest.raises(ConfigurationError, match=r"'preference' is 2\.5"):
        parse("alpaca-eval", JUDGED | {"preference": 2.5})


@pytest.mark.parametrize(("name", "row"), [("pandalm", PANDALM), ("hh-rlhf", HH), ("alpaca-eval", OUTPUT), ("alpaca-eval", JUDGED)])
def test_the_same_row_is_the_same_trace_and_another_application_is_not(name: str, row: dict[str, Any]) -> None:
    first, again = parse(name, row), format_named(name).parse_row(row, Target("app", NOW.replace(year=2027)))
    other = format_named(name).parse_row(row, Target("other", NOW))
    assert first.trace.trace_id == again.trace.trace_id != other.trace.trace_id
    assert first.trace.event_id == again.trace.event_id


def test_a_wrong_format_is_named() -> None:
    with pytest.raises(ConfigurationError, match="expected one of alpaca-eval, hh-rlhf, pandalm"):
        format_named("pandaml")
    with pytest.raises(ConfigurationError, match=r"field .cmp_key. is missing.*right --format"):
        parse("pandalm", HH)


def test_labels_find_the_candidates_by_their_text() -> None:
    item = parse("pandalm", PANDALM)
    labels = labels_for(task_of(item), item, NOW)
    # Shown in reverse: "Blue" is c0, "Red" is c1.
    assert [(label.reviewer_id, label.preferences[0].preferred) for label in labels] == [
        ("pandalm-annotator-1", "c1"), ("pandalm-annotator-2", "c0"), ("pandalm-annotator-3", None),
    ]  # fmt: skip
    assert len({label.event_id for label in labels}) == 3
    assert [label.event_id for label in labels_for(task_of(item), item, NOW.replace(year=2027))] == [label.event_id for label in labels]


def test_identical_candidates_get_no_label() -> None:
    item = parse("pandalm", PANDALM | {"response2": "Red"})
    assert item.ambiguous
    assert labels_for(task_of(item), item, NOW) == ()


def test_a_task_with_other_texts_gets_no_label() -> None:
    item = parse("pandalm", PANDALM)
    assert labels_for(task_of(item, ["Red"]), item, NOW) == ()
    assert labels_for(task_of(item, ["Red", "Green"]), item, NOW) == ()


@pytest.mark.parametrize(
    ("name", "file", "items", "unusable"),
    [
        ("pandalm", "pandalm_3_annotators.a.jsonl.gz", 500, 0),
        ("hh-rlhf", "hh_rlhf_harmless_base_test.a.jsonl.gz", 1496, 4),
        ("alpaca-eval", "alpaca_eval_outputs.alpaca-7b.jsonl.gz", 805, 0),
        ("alpaca-eval", "alpaca_eval_outputs.gpt4_1106_preview_verbose.jsonl.gz", 805, 0),
        ("alpaca-eval", "alpaca_eval_judge.alpaca-7b_vs_gpt4_1106_preview.jsonl.gz", 805, 0),
    ],
)
def test_every_row_of_the_real_files(name: str, file: str, items: int, unusable: int) -> None:
    if not (DATA / file).exists():
        pytest.skip(f"real data is absent: {file}")
    found, left_out = {}, 0
    with gzip.open(DATA / file, "rt", encoding="utf-8") as stream:
        for line in stream:
            try:
                item = parse(name, json.loads(line))
            except UnusableRow:
                left_out += 1
                continue
            found[item.trace.trace_id] = item
    assert (len(found), left_out) == (items, unusable)
    labelled = FORMATS[name].labelled
    assert all(bool(item.verdicts) is labelled for item in found.values())
    assert sum(bool(labels_for(task_of(item), item, NOW)) for item in found.values()) == sum(labelled and not item.ambiguous for item in found.values())
