"""`trueloop explain`: the walk from one thing to everything that it came from, and to everything that came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trueloop.adapters.clickhouse.lineage_queries import CAME_FROM, CAME_OF, IDENTITIES, Link
from trueloop.errors import ConfigurationError

Ask = Callable[[str, Mapping[str, str]], Sequence[Sequence[Any]]]
"""Answers a query with parameters by its rows."""

SHORTEST_PREFIX = 6
_CANDIDATES = 6


@dataclass(frozen=True, slots=True)
class Thing:
    """A trace, task, label, pair, dataset, job, checkpoint, evaluation, gate, release or alarm; `said` tells of it in a few words."""

    kind: str
    id: str
    said: str = ""


@dataclass(slots=True)
class Found:
    """A thing in a tree, in which role it stands there, and what is below it.

    Attributes:
        thing: The thing.
        role: What it is to the thing above, empty when its kind says it.
        below: What it came from, or what came of it.
        left_out: How many more there are below, by kind.
        repeated: Whether it is told elsewhere in the tree what is below.
        cut: Whether the tree ends here because of its depth.
    """

    thing: Thing
    role: str = ""
    below: list["Found"] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    repeated: bool = False
    cut: bool = False


def find(ask: Ask, wanted: str, kind: str | None = None) -> Thing:
    """Return the thing of that id, or of the one id that begins so. Raises ConfigurationError when there is none, or more than one."""
    kinds = [kind] if kind else list(IDENTITIES)
    if kind is not None and kind not in IDENTITIES:
        raise ConfigurationError(f"--kind is {kind!r}; expected one of {', '.join(IDENTITIES)}")
    for condition in ("id = {id:String}", "startsWith(id, {id:String})"):
        if condition != "id = {id:String}" and len(wanted) < SHORTEST_PREFIX:
            break
        parts = [
            f"SELECT '{each}' AS kind, id, any(said) FROM ({sql}) WHERE {condition} GROUP BY id LIMIT {_CANDIDATES}"  # noqa: S608 - queries of our own
            for each in kinds
            for sql in IDENTITIES[each]
        ]
        rows = ask(" UNION ALL ".join(f"({part})" for part in parts), {"id": wanted})
        found = {(row[0], row[1]): Thing(*row) for row in reversed(rows)}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            known = ", ".join(f"{of} {identity}" for of, identity in sorted(found)[:_CANDIDATES])
            raise ConfigurationError(f"{wanted!r} may be {known}; give more of the id, or its --kind")
    raise ConfigurationError(
        f"nothing in ClickHouse has an id that is or begins with {wanted!r} (at least {SHORTEST_PREFIX} characters); datasets are named NAME@VERSION"
    )


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a walk goes: `depth` steps from where it starts, and of each kind below a thing the first `width`."""

    ask: Ask
    depth: int = 12
    width: int = 3

    def came_from(self, thing: Thing) -> Found:
        """Return the tree of what it came from."""
        return self._tree(thing, CAME_FROM)

    def came_of(self, thing: Thing) -> Found:
        """Return the tree of what came of it."""
        return self._tree(thing, CAME_OF)

    def _tree(self, thing: Thing, links: Mapping[str, Sequence[Link]]) -> Found:
        root = Found(thing)
        self._below(root, links, {(thing.kind, thing.id)}, self.depth)
        return root

    def _below(self, found: Found, links: Mapping[str, Sequence[Link]], told: set[tuple[str, str]], depth: int) -> None:
        for each, rows in self._answers(found.thing, links[found.thing.kind]):
            if depth == 0:
                found.cut = True
                return
            more = rows[0][3] - len(rows)
            if more:
                named = f"{each.role} {each.kind}".strip()
                found.left_out[named] = found.left_out.get(named, 0) + more
            for row in rows:
                below = Found(Thing(each.kind, row[1], row[2]), each.role)
                found.below.append(below)
                key = (each.kind, row[1])
                below.repeated = key in told and not each.ends
                if not each.ends and not below.repeated:
                    told.add(key)
                    self._below(below, links, told, depth - 1)

    def _answers(self, thing: Thing, links: Sequence[Link]) -> list[tuple[Link, list[Sequence[Any]]]]:
        """Ask everything about a thing at once, and return the answers by link; a row is its place, id, words, and how many there are in all."""
        parts = [
            f"SELECT {place} AS place, id, any(said) AS said, count() OVER () AS total FROM ({link.sql}) WHERE id != '' "  # noqa: S608 - queries of our own
            f"GROUP BY id ORDER BY min(rowNumberInAllBlocks()) LIMIT {self.width}"
            for place, link in enumerate(links)
        ]
        rows = self.ask(" UNION ALL ".join(f"({part})" for part in parts), {"id": thing.id}) if parts else []
        grouped: dict[int, list[Sequence[Any]]] = {}
        for row in rows:
            grouped.setdefault(int(row[0]), []).append(row)
        return [(links[place], grouped[place]) for place in sorted(grouped)]
