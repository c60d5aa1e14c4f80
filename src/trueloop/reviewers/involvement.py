"""Who had a part in a trace before it was appealed against, in a task before it was adjudicated, or in a trial before it was put before a senior."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TraceTask:
    """A task of a trace: whether it is the re-review of an appeal, whose labels count on it, and the task that it settles, if it is an adjudication or a
    senior's. Of a trial the trace is the trial."""

    trace_id: str
    is_appeal: bool
    reviewers: frozenset[str]
    adjudicates: str | None = None


class Involvement:
    """The tasks of an application by trace. Who has a label on another task of a trace does not speak on its appeal, whichever label came first; who
    has one on a task, or must not speak on it, does not settle it."""

    def __init__(self) -> None:
        self._tasks: dict[str, TraceTask] = {}
        self._of_trace: defaultdict[str, set[str]] = defaultdict(set)

    def replace(self, task_id: str, task: TraceTask | None) -> Collection[str]:
        """Set what is known of a task (None: nothing), and return the ids of the tasks of its trace whose involved reviewers this changed."""
        before = self._tasks.get(task_id)
        if task == before:
            return ()
        traces = {each.trace_id for each in (before, task) if each is not None}
        known = {name: self.involved(name) for trace in traces for name in self._of_trace[trace]}
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
        """Return the reviewers who must not speak on a task: none, unless it is an appeal, or settles another one.

        >>> found = Involvement()
        >>> found.replace("appeal", TraceTask("trace", True, frozenset({"ada", "ben"})))
        []
        >>> found.replace("sampled", TraceTask("trace", False, frozenset({"ben", "cleo"}))), sorted(found.involved("appeal"))
        (['appeal'], ['ben', 'cleo'])
        """
        task = self._tasks.get(task_id)
        if task is None:
            return frozenset()
        if task.adjudicates is not None:
            settled = self._tasks.get(task.adjudicates)
            return frozenset() if settled is None else settled.reviewers | self._of_appeal(task.adjudicates, settled)
        return self._of_appeal(task_id, task)

    def _of_appeal(self, task_id: str, task: TraceTask) -> frozenset[str]:
        """Return who has a label on another task of the trace of an appeal. Who settles the appeal itself is none of them."""
        others = (self._tasks[name] for name in self._of_trace[task.trace_id] if name != task_id) if task.is_appeal else ()
        return frozenset().union(*(other.reviewers for other in others if other.adjudicates != task_id))
