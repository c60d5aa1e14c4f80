"""Evidence in panes of time, and a rolling window that is made of them."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, takewhile
from typing import NamedTuple

from trueloop.agreement.evidence import Evidence
from trueloop.agreement.moments import Moments
from trueloop.agreement.pattern import CACHED, Members
from trueloop.agreement.position import Positions
from trueloop.agreement.replicates import Level, Replicates
from trueloop.agreement.weights import Weights

WEIGHTS: dict[Level, Weights | None] = {"nominal": None, "ordinal": "ordinal", "interval": "quadratic", "ratio": "ratio"}
"""The weights of AC2 that go with a level of measurement."""


class Pane(NamedTuple):
    """A stretch of event time that tasks count in, in microseconds since the epoch.

    The order of panes is the order of their ends. `span` is the length of the window that the pane would end, `keep` how much newer than
    the pane its series may become before the pane is final, `ahead` how much earlier than the pane the clock may be for a window to end with
    it. All are kept with the task, so a later policy moves nothing that was counted.
    """

    end: int
    start: int
    span: int
    keep: int
    ahead: int


class Shown(NamedTuple):
    """What a task says of position bias: candidates displayed, preferences for the first of them, preferences that are no tie."""

    candidates: int
    first: int
    decided: int


class Member(NamedTuple):
    """What one task contributes to one series: the units, which are one cluster, and its preferences by position."""

    task_id: str
    units: Members
    shown: tuple[Shown, ...] = ()


@lru_cache(maxsize=CACHED)
def _shared(units: Members) -> Members:
    """Return one object for equal units: on a scale of few values most tasks are alike, and there may be many of them."""
    return units


@dataclass
class Counted:
    """The evidence of a pane or window, and its preferences by position."""

    evidence: Evidence
    positions: Positions = field(default_factory=Positions)

    def add(self, member: Member, times: int = 1) -> None:
        """Count one task; with `times` = -1 take away one that was counted."""
        self.evidence.add(member.task_id, member.units, times)
        for shown in member.shown:
            self.positions.add(*shown, times)

    def merge(self, other: "Counted", times: int = 1) -> None:
        """Count all that another counted. With `times` = -1 take it away."""
        self.evidence.merge(other.evidence, times)
        self.positions.merge(other.positions, times)


class Panes:
    """The panes of one series, and the window over them. Every task is in one pane, and counts or is taken away by the difference it makes.

    A pane holds counts and moments, not replicates: these are kept for the window only, which tasks enter and leave one by one. So a label
    costs the same however many units there are, and the window is always what a fresh count of its tasks would give, to the last bit.
    """

    def __init__(self, level: Level) -> None:
        self.level: Level = level
        self._counted: dict[Pane, Counted] = {}
        self._members: dict[Pane, dict[str, Member]] = {}
        self._in_order: list[Pane] = []
        self._bounds: tuple[int, int] | None = None
        self._inside: set[Pane] = set()
        self._window = self._empty(replicated=True)

    def add(self, pane: Pane, key: str, member: Member) -> None:
        """Count a task in its pane; `key` names it."""
        if pane not in self._members:
            self._members[pane], self._counted[pane] = {}, self._empty(replicated=False)
            insort(self._in_order, pane)
            if self._bounds is not None and self._lies_in(pane, *self._bounds):
                self._inside.add(pane)
        self._members[pane][key] = member._replace(units=_shared(member.units))
        self._change(pane, member, 1)

    def remove(self, pane: Pane, key: str) -> None:
        """Take a task out of its pane; nothing when it is not there. A pane without tasks is forgotten."""
        member = self._members.get(pane, {}).pop(key, None)
        if member is None:
            return
        self._change(pane, member, -1)
        if not self._members[pane]:
            del self._members[pane], self._counted[pane]
            self._in_order.remove(pane)
            self._inside.discard(pane)

    def newest(self, now: int) -> Pane | None:
        """Return the newest pane that has begun, preferring those with units: what is dated in the future waits until its time comes."""
        begun = (pane for pane in reversed(self._in_order) if pane.start <= now + pane.ahead)
        first = next(begun, None)
        if first is None:
            return None
        return next((pane for pane in chain([first], begun) if self._counted[pane].evidence.coincidences.units), first)

    def stretch(self, pane: Pane) -> Counted:
        """Return what was counted from the start of a pane to its end: also by policies that have the same panes and keep them for another time."""
        alike = self._alike(pane)
        if len(alike) == 1:
            return self._counted[alike[0]]
        counted = self._empty(replicated=False)
        for known in alike:
            counted.merge(self._counted[known])
        return counted

    def window(self, start: int, end: int) -> Counted:
        """Return what was counted in the panes that lie in a window. It is changed by the next task that is counted."""
        if self._bounds == (start, end):
            return self._window
        wanted = {pane for pane in self._in_order if self._lies_in(pane, start, end)}
        for pane in self._inside - wanted:
            self._slide(pane, -1)
        for pane in wanted - self._inside:
            self._slide(pane, 1)
        self._bounds, self._inside = (start, end), wanted
        return self._window

    def is_final(self, pane: Pane, newest: Pane) -> bool:
        """Return whether a pane, and whatever lies in the same stretch, is so much older than the newest that nothing corrects it any more."""
        return pane.end + max(known.keep for known in (pane, *self._alike(pane))) <= newest.end

    def final(self, newest: Pane) -> list[Pane]:
        """Return the oldest panes, as far as they are final."""
        return list(takewhile(lambda pane: self.is_final(pane, newest), self._in_order))

    def until(self, pane: Pane) -> list[Pane]:
        """Return the panes that are no newer than this one."""
        return list(takewhile(lambda known: known <= pane, self._in_order))

    def keys(self, pane: Pane) -> tuple[str, ...]:
        """Return the tasks in a pane."""
        return tuple(self._members.get(pane, ()))

    def __len__(self) -> int:
        return len(self._in_order)

    def _alike(self, pane: Pane) -> list[Pane]:
        """Return the panes that begin and end when this one does."""
        first = bisect_left(self._in_order, pane[:2])
        return list(takewhile(lambda known: known[:2] == pane[:2], self._in_order[first:]))

    def _empty(self, *, replicated: bool) -> Counted:
        return Counted(Evidence(moments=Moments(WEIGHTS[self.level]), replicates=Replicates(self.level) if replicated else None))

    @staticmethod
    def _lies_in(pane: Pane, start: int, end: int) -> bool:
        return start <= pane.start and pane.end <= end

    def _change(self, pane: Pane, member: Member, times: int) -> None:
        self._counted[pane].add(member, times)
        if pane in self._inside:
            self._window.add(member, times)

    def _slide(self, pane: Pane, times: int) -> None:
        """Merge a pane into the window, or take it out; its replicates task by task."""
        self._window.merge(self._counted[pane], times)
        if self._window.evidence.replicates is not None:
            for member in self._members[pane].values():
                self._window.evidence.replicates.add(member.task_id, member.units, times)
