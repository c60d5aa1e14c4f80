"""What a log and its rebuild may differ in."""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How one thing differs."""

    MISSING = "missing"
    """Rebuilt, but not in the log."""
    UNEXPECTED = "unexpected"
    """In the log, but not rebuilt."""
    DIFFERENT = "different"
    """In both, with other contents."""


class Cause(StrEnum):
    """Why it may differ although nothing is wrong; `MEANING` says it in words."""

    LABEL_BEFORE_TASK = "label-before-task"
    LATER_DOCUMENT = "later-document"
    LATER_QUOTA = "later-quota"
    LATER_DISAGREEMENT = "later-disagreement"
    ARRIVAL_ORDER = "arrival-order"
    COMPACTED = "compacted"
    FOLLOWS = "follows"
    UNEXPLAINED = "unexplained"


MEANING: dict[Cause, str] = {
    Cause.LABEL_BEFORE_TASK: "the loop read a label before its task; when it read the task after all is recorded nowhere, and decides in which order "
    "the task's labels counted, or whether a label was refused",
    Cause.LATER_DOCUMENT: "the trace happened before the first policy of its application was published; whether the loop judged it depends on when it read it",
    Cause.LATER_QUOTA: "an alarm's review quota is open for the trace, but the loop read the trace before it heard of the quota: the worker was more than a "
    "minute behind",
    Cause.LATER_DISAGREEMENT: "how far reviewers disagree was told after the hour from which it holds, and the trace came in between: the worker was more than "
    "a minute behind",
    Cause.ARRIVAL_ORDER: "the worker reads several topics; which of two records in different ones it read first is recorded nowhere, and the rebuild goes by "
    "their timestamps",
    Cause.COMPACTED: "the worker reads a compacted topic, of which only the newest record per key is left",
    Cause.FOLLOWS: "it follows from a difference in what the worker reads",
    Cause.UNEXPLAINED: "no cause is known: the log was altered, a worker lost or doubled something, or another version of the code made it",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs.

    Attributes:
        kind: How.
        identity: What it is, by id; never by its text.
        subject: What it is about (a task, a series, a dataset version): differences of one subject have one cause.
        real: Where the log has it, None when it has not.
        rebuilt: Where the rebuild has it, None when it has not.
        fields: Names of the fields that differ, when both have it and both were looked up.
        cause: Why.
    """

    kind: Kind
    identity: str
    subject: str
    real: Place | None = None
    rebuilt: Place | None = None
    fields: tuple[str, ...] = ()
    cause: Cause = Cause.UNEXPLAINED


@dataclass(slots=True)
class Compared:
    """What came of comparing one topic or table.

    Attributes:
        name: The topic or table.
        real: Records in the log, or rows of the table.
        rebuilt: Records of the rebuild.
        identical: Things that both say alike.
        repeated: Records that say again what another one said: a worker that dies between delivery and commit sends again.
        superseded: Records that a later one of their key replaced, where only the last word is compared.
        in_flight: Rebuilt from what came in while the log was read, so that the loop may not have got to it.
        before_cut: Things about what came before the moment from which the log is rebuilt.
        differences: What differs.
        left_out: Why the topic was not compared, None when it was.
        half_known: Subjects of differences of which both sides say something else alike.
    """

    name: str
    real: int = 0
    rebuilt: int = 0
    identical: int = 0
    repeated: int = 0
    superseded: int = 0
    in_flight: int = 0
    before_cut: int = 0
    differences: list[Difference] = field(default_factory=list)
    left_out: str | None = None
    half_known: set[str] = field(default_factory=set)

    @property
    def is_identical(self) -> bool:
        """Return whether everything was compared and nothing differs."""
        return self.left_out is None and not self.differences

    def take_in(self, other: "Compared") -> None:
        """Add what came of comparing another part of the same."""
        for name in ("real", "rebuilt", "identical", "repeated", "superseded", "in_flight", "before_cut"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.differences += other.differences

    def of_kind(self, kind: Kind) -> int:
        """Return the number of differences of a kind."""
        return sum(difference.kind is kind for difference in self.differences)
