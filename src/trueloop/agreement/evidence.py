"""All that was counted of a set of units: what every coefficient and its interval follow from."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from trueloop.agreement.coincidences import Coincidences
from trueloop.agreement.moments import Moments
from trueloop.agreement.pattern import Members, raters_of
from trueloop.agreement.replicates import Replicates


@dataclass
class Evidence:
    """Counts of units. They add: the evidence of two sets of clusters is the sum of theirs, in any order, and a part can be taken away again.

    So panes merge into windows, and a label that comes late, changes or is retracted corrects a window by the difference it makes.

    Attributes:
        coincidences: How often which values met: the coefficients.
        moments: Products within clusters: the intervals that are linearised. None leaves them out.
        replicates: Counts with random weights: the interval of alpha. None leaves it out.
        clusters: Clusters with a unit of two raters or more.
    """

    coincidences: Coincidences = field(default_factory=Coincidences)
    moments: Moments | None = field(default_factory=Moments)
    replicates: Replicates | None = None
    clusters: int = 0

    def add(self, cluster_id: str, members: Members, times: int = 1) -> None:
        """Count one cluster of units; with `times` = -1 take away one that was counted.

        Raises ValueError when no such cluster can have been counted.
        """
        self.coincidences.add(members, times)
        if any(raters_of(pattern) > 1 for pattern, _ in members):
            self.clusters += times
        if self.moments is not None:
            self.moments.add(members, times)
        if self.replicates is not None:
            self.replicates.add(cluster_id, members, times)

    def merge(self, other: "Evidence", times: int = 1) -> None:
        """Count all that another counted; no cluster may be in both. With `times` = -1 take it away. What either leaves out is left alone."""
        self.coincidences.merge(other.coincidences, times)
        self.clusters += times * other.clusters
        if self.moments is not None and other.moments is not None:
            self.moments.merge(other.moments, times)
        if self.replicates is not None and other.replicates is not None:
            self.replicates.merge(other.replicates, times)

    def canonical(self) -> str:
        """Return all counts as text: the same evidence gives the same text, in whatever order it was counted. Replicates follow from the rest."""
        counted, moments = self.coincidences, self.moments
        cells = (counted.units, counted.values, counted.pairs, {} if moments is None else moments.products)
        return repr([sorted(part.items()) for part in cells])


def evidence_of(clusters: Iterable[tuple[str, Members]], empty: Evidence) -> Evidence:
    """Return `empty` after all clusters, given as id and units, were counted in it."""
    for cluster_id, members in clusters:
        empty.add(cluster_id, members)
    return empty
