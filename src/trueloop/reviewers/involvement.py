"""Who had a part in a trace before it was appealed against."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TraceTask:
    """A task of a trace: whether it is the re-review of an appeal, and whose labels count on it."""

    trace_id: str
    is_appeal: bool
    reviewers: frozenset[str]


class Involvement:
    """The tasks of an application by trace. Who has a label on another task of a trace does not speak on its appeal, whichever label came first."""

    def __init__(self) -> None:
        self._tasks: dict[str, TraceTask] = {}
        self._of_trace: defaultdict[str, set[str]] = defaultdict(set)

    def replace(self, task_id: str, task: TraceTask | None) -> Collection[str]:
        """Set what is known of a task (None: nothing), and return the ids of the appeals of its trace whose involved reviewers this changed."""
        before = self._tasks.get(task_id)
        if task == before:
            return ()
        traces = {each.trace_id for each in (before, task) if each is not None}
        known = {name: self.involved(name) for trace in traces for name in self._of_trace[trace] if self._tasks[name].is_appeal}
        if before is not None:
            self._of_trace[before.trace_id].discard(task_id)
            self._tasks.pop(task_id)
        if task is not None:
            self._tasks[task_id] = task
            self._of_trace[task.trace_id].add(task_id)
        for trace in traces:
            if not self._of_trace[trace]:
                del self._of_trace[trace]
        return [name for name, reviewers in known.items() if name in self._tasks and name != task_id and self.involved(name) != reviewers]

    def involved(self, task_id: str) -> frozenset[str]:
        """Return the reviewers who must not speak on a task: none, unless it is an appeal.

        >>> found = Involvement()
        >>> found.replace("appeal", TraceTask("trace", True, frozenset({"ada", "ben"})))
        []
        >>> found.replace("sampled", TraceTask("trace", False, frozenset({"ben", "cleo"}))), sorted(found.involved("appeal"))
        (['appeal'], ['ben', 'cleo'])
        """
        task = self._tasks.get(task_id)
        if task is None or not task.is_appeal:
            return frozenset()
        others = (self._tasks[name].reviewers for name in self._of_trace[task.trace_id] if name != task_id)
        return frozenset().union(*others)
