"""The file formats that others train from: which rows a format takes, and how a line of it reads.

A format names the version of its consumer that it was written for; `tests/integration/test_dataset_exports.py` loads each with that consumer, or with
a mirror of its loader's contract where it is not installed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trueloop.datasets import rows as kinds
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.errors import ExportError

Row = dict[str, Any]
PREFERENCE_COLUMNS = ("prompt", "chosen", "rejected")
_OPENAI_ROLES = frozenset({"system", "user", "assistant"})
_OPENAI_LEAST = 10


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: the rows that it is made of, a line of it, and what its consumer demands.

    `refuses` says why the consumer would not take a row, in one or two words, or None; `least` is the fewest rows that it takes. `both_labels` is for
    consumers that learn from the difference between good and bad rows.
    """

    consumer: str
    rows: Callable[[PairsDataset], Iterator[Row]]
    line: Callable[[Row], Row]
    refuses: Callable[[Row], str | None] = lambda _: None
    least: int = 1
    both_labels: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of an export, and how many rows were left out, by reason."""

    lines: tuple[Row, ...]
    left_out: dict[str, int] = field(default_factory=dict)


def make_lines(dataset: PairsDataset, name: str) -> Lines:
    """Return a dataset in a format.

    Raises:
        ExportError: the format is unknown; no pair, or too few that the format can use; pairs of several rubrics; only good or only bad completions
            where both are needed.
    """
    chosen = find_format(name)
    if not dataset.pairs:
        raise ExportError("the dataset holds no pair; expected at least one: collect labels, or choose another version or split")
    rubrics = Counter(f"{pair.rubric_id} version {pair.rubric_version}" for pair in dataset.pairs)
    if len(rubrics) > 1:
        said = ", ".join(f"{count} of {rubric}" for rubric, count in sorted(rubrics.items()))
        raise ExportError(f"the pairs follow different rubrics: {said}; expected one, because what is good changed between them: export each by itself")
    left_out: Counter[str] = Counter()
    equal = sum(pair.chosen == pair.rejected for pair in dataset.pairs)
    if equal == len(dataset.pairs):
        raise ExportError(f"all {equal} pairs compare a text with itself; expected two texts, one better: look at the labels behind them")
    if equal:
        left_out["equal_texts"] = equal
    kept: list[Row] = []
    for row in chosen.rows(dataset):
        # Most formats have no weights: there a row that counts for nothing would count in full.
        reason = "no_weight" if row.get("weight") == 0 else chosen.refuses(row)
        if reason is None:
            kept.append(row)
        else:
            left_out[reason] += 1
    _demand(chosen, name, kept, left_out)
    return Lines(tuple(chosen.line(row) for row in kept), dict(sorted(left_out.items())))


def _demand(chosen: Format, name: str, rows: Sequence[Row], left_out: Mapping[str, int]) -> None:
    if len(rows) < chosen.least:
        said = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "nothing was left out"
        raise ExportError(f"{len(rows)} rows for {name}; its consumer takes {chosen.least} or more: collect more labels ({said})")
    good = sum(bool(row.get("label")) for row in rows)
    if chosen.both_labels and good in (0, len(rows)):
        raise ExportError(f"{good} good and {len(rows) - good} bad completions for {name}; expected some of each: it learns from the difference")


def find_format(name: str) -> Format:
    """Return the format of that name. Raises ExportError naming the known ones."""
    try:
        return FORMATS[name]
    except KeyError:
        raise ExportError(f"no export format {name!r}; known formats: {', '.join(FORMATS)}") from None


def _columns(*names: str) -> Callable[[Row], Row]:
    return lambda row: {name: row[name] for name in names}


def _stepwise_line(row: Row) -> Row:
    return {"prompt": transcript(row["prompt"]), "completions": row["completions"], "labels": row["labels"]}


def transcript(messages: Sequence[Mapping[str, str]]) -> str:
    r"""Return a prompt as one text, for consumers that take no messages: the content, after the role where there is more than one message.

    >>> transcript([{"role": "user", "content": "Why?"}])
    'Why?'
    >>> transcript([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
    'System: Be brief.\n\nUser: Why?'
    """
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)


def _nemo_line(row: Row) -> Row:
    ranked = [{"rank": rank, "completion": row[column]} for rank, column in enumerate(("chosen", "rejected"))]
    return {"context": row["prompt"], "completions": ranked}


def _openai_preference_line(row: Row) -> Row:
    return {"input": {"messages": row["prompt"]}, "preferred_output": row["chosen"], "non_preferred_output": row["rejected"]}


def _openai_refuses(row: Row) -> str | None:
    prompt = row["prompt"]
    if not {message["role"] for message in prompt} <= _OPENAI_ROLES:
        return "tool_messages"  # OpenAI wants the call that a tool's answer belongs to, which no trace carries
    if prompt[-1]["role"] != "user":
        return "no_question_last"
    answers = [row[column] for column in ("chosen", "rejected", "completion") if column in row]
    return None if all(message["content"].strip() for message in _flat(answers)) else "blank_answer"


def _flat(answers: Iterable[Iterable[Mapping[str, str]]]) -> Iterator[Mapping[str, str]]:
    return (message for answer in answers for message in answer)


def _hub_line(row: Row) -> Row:
    # Maps whose keys differ from row to row have no column type; lists of names and values have one.
    slices = [{"name": name, "value": value} for name, value in row["slices"].items()]
    outcomes = [{"dimension": name, "outcome": outcome} for name, outcome in row["outcomes"].items()]
    return row | {"slices": slices, "outcomes": outcomes}


FORMATS: dict[str, Format] = {
    "trl-preference": Format("TRL 1.16: DPOTrainer, which passes over the weight", kinds.preference_rows, _columns(*PREFERENCE_COLUMNS, "weight")),
    "trl-reward": Format(
        "TRL 1.16: RewardTrainer, which adds the margin to its loss and passes over the weight",
        kinds.preference_rows,
        _columns(*PREFERENCE_COLUMNS, "margin", "weight"),
    ),
    "trl-unpaired": Format(
        "TRL 1.16: KTOTrainer, which passes over the weight", kinds.unpaired_rows, _columns("prompt", "completion", "label", "weight"), both_labels=True
    ),
    "trl-sft": Format("TRL 1.16: SFTTrainer", kinds.demonstration_rows, _columns("prompt", "completion")),
    "trl-stepwise": Format("TRL's stepwise supervision; its trainer was taken out of TRL before 1.16", kinds.stepwise_rows, _stepwise_line),
    "openrlhf-preference": Format(
        "OpenRLHF RewardDataset with --data.prompt_key prompt --data.apply_chat_template",
        kinds.preference_rows,
        _columns(*PREFERENCE_COLUMNS, "margin", "weight"),
    ),
    "openrlhf-sft": Format(
        "OpenRLHF SFTDataset with --data.input_key input --data.output_key output --data.apply_chat_template",
        kinds.demonstration_rows,
        lambda row: {"input": row["prompt"], "output": row["completion"]},
    ),
    "nemo-rl-preference": Format("NeMo-RL 0.6: PreferenceDataset", kinds.preference_rows, _nemo_line),
    "openai-preference": Format(
        "OpenAI preference fine-tuning, as Azure, Together and Fireworks take it too",
        kinds.preference_rows,
        _openai_preference_line,
        refuses=_openai_refuses,
        least=_OPENAI_LEAST,
    ),
    "openai-sft": Format(
        "OpenAI supervised fine-tuning",
        kinds.demonstration_rows,
        lambda row: {"messages": [*row["prompt"], *row["completion"]]},
        refuses=_openai_refuses,
        least=_OPENAI_LEAST,
    ),
    "huggingface": Format("datasets.load_dataset on the directory, which has a card", kinds.preference_rows, _hub_line),
}
"""Formats by name, in the order in which they are listed."""
