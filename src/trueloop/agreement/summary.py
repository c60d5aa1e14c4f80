"""Everything that is told of the agreement in one window, as the fields of its event."""

from collections.abc import Sequence
from typing import Any

from trueloop.agreement.estimate import Estimate
from trueloop.agreement.fleiss import fleiss_kappa
from trueloop.agreement.gwet import gwet_ac1, gwet_ac2
from trueloop.agreement.krippendorff import krippendorff_alpha
from trueloop.agreement.moments import Feature
from trueloop.agreement.observed import observed_agreement
from trueloop.agreement.panes import WEIGHTS, Counted
from trueloop.agreement.position import position_test
from trueloop.agreement.replicates import Level
from trueloop.agreement.span_f1 import span_f1
from trueloop.events.agreement import Coincidence, Moment, RatingsOfValue, UnitsByRaters
from trueloop.events.agreement_units import UnitKind

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")
"""Levels of measurement, lowest first: numbers of a higher level may be read as those of a lower one."""
MAX_STATISTICS = 4000
"""Cells of statistics on one event: enough for a scale of 50 values; with more, analysts take the units themselves."""


def estimates(counted: Counted, level: Level, kind: UnitKind, categories: Sequence[int] | None) -> dict[str, Any]:
    """Return the fields of an `AgreementEstimate` that are estimated.

    `categories` are the values that reviewers could choose from; None takes those that were given.
    """
    evidence = counted.evidence
    alpha = krippendorff_alpha(evidence, level=level)
    ac1 = gwet_ac1(evidence, categories=categories)
    fields: dict[str, Any] = {
        "n_units": alpha.n_units,
        "n_labels": alpha.n_labels,
        "n_tasks": evidence.clusters,
        "undefined": alpha.undefined,
        "ac1_undefined": ac1.undefined,
        **_bounded("alpha", alpha),
        **_bounded("p_o", observed_agreement(evidence)),
        **_bounded("ac1", ac1),
        **_bounded("fleiss_kappa", fleiss_kappa(evidence)),
    }
    for lower in LEVELS[: LEVELS.index(level)]:
        fields[f"alpha_{lower}"] = krippendorff_alpha(evidence, level=lower).value
    fields[f"alpha_{level}"] = alpha.value
    weights = WEIGHTS[level]
    if weights is not None:
        fields |= _bounded("ac2", gwet_ac2(evidence, weights=weights, categories=categories))
    if kind is UnitKind.SPAN:
        fields |= _bounded("span_f1", span_f1(evidence))
    if kind is UnitKind.PREFERENCE:
        fields |= _positions(counted)
    return fields


def statistics(counted: Counted) -> dict[str, Any]:
    """Return the fields of an `AgreementEstimate` that add over panes; none when they are too many."""
    found, moments = counted.evidence.coincidences, counted.evidence.moments
    products = {} if moments is None else moments.products
    if len(found.units) + len(found.values) + len(found.pairs) + len(products) > MAX_STATISTICS:
        return {"statistics_kept": False}
    return {
        "statistics_kept": True,
        "sizes": [UnitsByRaters(raters=m, units=units) for m, units in sorted(found.units.items())],
        "ratings": [RatingsOfValue(raters=m, value=int(value), ratings=count) for (m, value), count in sorted(found.values.items())],
        "coincidences": [Coincidence(raters=m, low=int(low), high=int(high), pairs=count) for (m, low, high), count in sorted(found.pairs.items())],
        "moments": [
            Moment(raters=one[0], feature=_name(one), other_raters=other[0], other_feature=_name(other), total=float(total))
            for (one, other), total in sorted(products.items())
        ],
    }


def _bounded(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.ci_low, f"{name}_high": estimate.ci_high}


def _positions(counted: Counted) -> dict[str, Any]:
    test = position_test(counted.positions)
    return {
        "n_preferences": test.n_preferences,
        "shown_first": test.share_first,
        "shown_first_low": test.ci_low,
        "shown_first_high": test.ci_high,
        "shown_first_expected": test.expected,
        "position_p": test.p_value,
    }


def _name(feature: Feature) -> str:
    _, kind, value = feature
    return f"value={int(value)}" if kind == "value" else kind
