"""How far reviewers agree."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.agreement_units import UnitKind
from trueloop.events.base import Count, Event, Identifier, Number, Probability, Record, Timestamp


class Undefined(StrEnum):
    """Why an estimate has no value, or no interval."""

    UNKNOWN = "UNKNOWN"
    NO_PAIRABLE_UNITS = "NO_PAIRABLE_UNITS"
    """No unit has two labels: there is no value."""
    NO_VARIATION = "NO_VARIATION"
    """Nothing varies: with a single value in use there is no coefficient beyond chance; with units that all agree alike there is no interval."""
    TOO_FEW_UNITS = "TOO_FEW_UNITS"
    """There is a value, but too few units for an interval."""
    NOT_ESTIMATED = "NOT_ESTIMATED"
    """There is a value, but what an interval would follow from was not kept."""


class WindowKind(StrEnum):
    """What a window is."""

    UNKNOWN = "UNKNOWN"
    ROLLING = "ROLLING"
    PANE = "PANE"


class MeasurementLevel(StrEnum):
    """Level of measurement of a scale."""

    UNKNOWN = "UNKNOWN"
    NOMINAL = "NOMINAL"
    ORDINAL = "ORDINAL"
    INTERVAL = "INTERVAL"
    RATIO = "RATIO"


Coefficient = Annotated[float, Field(ge=-1.0, le=1.0)]
AtMostOne = Annotated[float, Field(le=1.0, allow_inf_nan=False)]
"""A coefficient that can fall below -1: a weighted one when raters contradict each other systematically, kappa with many units of one rater."""
Raters = Annotated[int, Field(ge=1)]


class UnitsByRaters(Record):
    """How many units have so many raters."""

    raters: Raters = Field(description="Raters of a unit, >= 1.")
    units: Count = Field(description="Units with so many raters, >= 1.")


class RatingsOfValue(Record):
    """How often a value was given."""

    raters: Raters = Field(description="Raters of a unit, >= 1.")
    value: int = Field(description="Value on the dimension's scale.")
    ratings: Count = Field(description="Ratings of that value on units with so many raters, >= 1.")


class Coincidence(Record):
    """How often two values met on a unit."""

    raters: Annotated[int, Field(ge=2)] = Field(description="Raters of a unit, >= 2.")
    low: int = Field(description="The lower value, on the dimension's scale.")
    high: int = Field(description="The higher value, on the dimension's scale; >= low.")
    pairs: Count = Field(description="Pairs of raters of one unit, with so many raters, that gave these values, >= 1.")


class Moment(Record):
    """A sum, over tasks, of the product of two features of a task."""

    raters: Raters = Field(description="Raters of the units that the first feature is summed over, >= 1.")
    feature: str = Field(description="'units', 'apart' (pairs of raters that differ), 'weighted' (how far they are apart) or 'value=V' (ratings of V).")
    other_raters: Raters = Field(description="Raters of the units that the second feature is summed over, >= 1.")
    other_feature: str = Field(description="The second feature; the pair stands here once, in whichever order.")
    total: Number = Field(description="Sum over tasks of the product, > 0; a whole number.")


class AgreementEstimate(Event):
    """Agreement on one dimension and slice in one window. Topic `agreement`, key `series_id`. No evidence is null, never 0.

    A series has one rolling window, which ends with the newest pane that holds units, and its panes: stretches of time that do not overlap.
    Only panes carry statistics, which add over panes: whoever sums them counts nothing twice. Intervals have a confidence of 95 % and treat
    tasks as what was sampled.
    """

    series_id: Identifier = Field(description="The series: application, dimension, slice, rubric and version.")
    dimension: Identifier = Field(description="Dimension of the rubric; 'overall' or 'preference:NAME' for preferences; 'spans:NAME' for marked spans.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    kind: UnitKind = Field(description="What was judged: RATING, PREFERENCE or SPAN.")
    level: MeasurementLevel = Field(description="Level of measurement of the scale: NOMINAL, ORDINAL, INTERVAL or RATIO.")
    window_kind: WindowKind = Field(description="ROLLING for the newest state of the series, PANE for one of its panes.")
    window_start: Timestamp = Field(description="Start of the window, inclusive, UTC.")
    window_end: Timestamp = Field(description="End of the window, exclusive, UTC.")
    n_units: Count = Field(description="Units with two labels or more: those that can agree. Characters, for spans.")
    n_labels: Count = Field(description="Labels on those units.")
    n_tasks: Count = Field(description="Tasks that those units belong to.")
    p_o: Probability | None = Field(default=None, description="Observed agreement: mean share of agreeing pairs per unit, [0, 1]; null without evidence.")
    p_o_low: Probability | None = Field(default=None, description="Lower 95 % bound of p_o, [0, 1]; null when not estimated.")
    p_o_high: Probability | None = Field(default=None, description="Upper 95 % bound of p_o, [0, 1]; null when not estimated.")
    alpha: Coefficient | None = Field(default=None, description="Krippendorff's alpha at the series' level, [-1, 1]; null when undefined.")
    alpha_low: Coefficient | None = Field(default=None, description="Lower 95 % bound of alpha, [-1, 1]; null when not estimated, and for panes.")
    alpha_high: Coefficient | None = Field(default=None, description="Upper 95 % bound of alpha, [-1, 1]; null when not estimated, and for panes.")
    undefined: Undefined | None = Field(default=None, description="Why alpha, or else its interval, is null; null when both are there.")
    alpha_nominal: Coefficient | None = Field(default=None, description="Krippendorff's alpha, nominal, [-1, 1]; null when undefined.")
    alpha_ordinal: Coefficient | None = Field(default=None, description="Krippendorff's alpha, ordinal, [-1, 1]; null when undefined or the level is lower.")
    alpha_interval: Coefficient | None = Field(default=None, description="Krippendorff's alpha, interval, [-1, 1]; null when undefined or the level is lower.")
    alpha_ratio: Coefficient | None = Field(default=None, description="Krippendorff's alpha, ratio, [-1, 1]; null when undefined or the level is lower.")
    ac1: Coefficient | None = Field(default=None, description="Gwet's AC1, [-1, 1]; null when undefined.")
    ac1_low: Coefficient | None = Field(default=None, description="Lower 95 % bound of AC1, [-1, 1]; null when not estimated.")
    ac1_high: Coefficient | None = Field(default=None, description="Upper 95 % bound of AC1, [-1, 1]; null when not estimated.")
    ac1_undefined: Undefined | None = Field(default=None, description="Why AC1, or else its interval, is null; null when both are there.")
    ac2: AtMostOne | None = Field(
        default=None, description="Gwet's AC2 with ordinal, quadratic or ratio weights, as the level has them, <= 1; null at nominal level or when undefined."
    )
    ac2_low: AtMostOne | None = Field(default=None, description="Lower 95 % bound of AC2, <= 1; null when not estimated.")
    ac2_high: AtMostOne | None = Field(default=None, description="Upper 95 % bound of AC2, <= 1; null when not estimated.")
    fleiss_kappa: AtMostOne | None = Field(default=None, description="Fleiss' kappa, <= 1; null when undefined.")
    fleiss_kappa_low: AtMostOne | None = Field(default=None, description="Lower 95 % bound of Fleiss' kappa, <= 1; null when not estimated.")
    fleiss_kappa_high: AtMostOne | None = Field(default=None, description="Upper 95 % bound of Fleiss' kappa, <= 1; null when not estimated.")
    span_f1: Probability | None = Field(default=None, description="F1 between readers, by characters, [0, 1]; null but for spans, and when nothing was marked.")
    span_f1_low: Probability | None = Field(default=None, description="Lower 95 % bound of the F1, [0, 1]; null when not estimated.")
    span_f1_high: Probability | None = Field(default=None, description="Upper 95 % bound of the F1, [0, 1]; null when not estimated.")
    n_preferences: Count = Field(default=0, description="Preferences that are no tie, on tasks whose display order is known, >= 0; 0 but for preferences.")
    shown_first: Probability | None = Field(
        default=None, description="Share of these preferences that are for the candidate shown first, [0, 1]; null without any."
    )
    shown_first_low: Probability | None = Field(default=None, description="Lower 95 % bound of that share, [0, 1]; null when not estimated.")
    shown_first_high: Probability | None = Field(default=None, description="Upper 95 % bound of that share, [0, 1]; null when not estimated.")
    shown_first_expected: Probability | None = Field(default=None, description="The share that chance would give, [0, 1]; null without preferences.")
    position_p: Probability | None = Field(
        default=None, description="Two-sided p-value of the hypothesis that the display order does not matter, [0, 1]; null when not tested."
    )
    categories: list[int] = Field(default_factory=list, description="Values that reviewers could choose from, on the dimension's scale, ascending.")
    statistics_kept: bool = Field(default=False, description="Whether the lists below hold the statistics of the window: of panes, unless too many values.")
    sizes: list[UnitsByRaters] = Field(default_factory=list, description="Units by number of raters.")
    ratings: list[RatingsOfValue] = Field(default_factory=list, description="Ratings by value and number of raters of the unit.")
    coincidences: list[Coincidence] = Field(default_factory=list, description="Pairs of raters by the two values and number of raters of the unit.")
    moments: list[Moment] = Field(default_factory=list, description="Moment matrix: what the intervals of p_o, AC1, AC2 and Fleiss' kappa follow from.")
