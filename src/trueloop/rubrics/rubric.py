"""The rubric: what good means, per dimension. It names no trainer: objective and optimiser stay separate."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
OVERALL = "overall"
"""Stands for a judgement over all dimensions; no dimension may be called so."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(StrEnum):
    """Level of measurement of a scale."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    INTERVAL = "interval"
    RATIO = "ratio"


class Scale(_Document):
    """Whole numbers from `min` to `max`, `max` being best."""

    min: int = Field(ge=-100, le=100)
    max: int = Field(ge=-100, le=100)
    level: Level = Level.ORDINAL

    @model_validator(mode="after")
    def _ascending(self) -> "Scale":
        if self.min >= self.max:
            raise ValueError(f"min {self.min} must be below max {self.max}")
        if self.level is Level.RATIO and self.min < 0:
            raise ValueError(f"min is {self.min}, but a ratio scale starts at 0 or above; choose level 'interval'")
        return self

    def loss(self, value: float) -> float:
        """Return how far a value is from the best, in [0, 1].

        >>> Scale(min=1, max=5).loss(4)
        0.25
        """
        return (self.max - value) / (self.max - self.min)


class Example(_Document):
    """A worked example: what this answer gets, and why."""

    prompt: str = Field(min_length=1)
    completion: str = Field(min_length=1)
    value: int
    why: str = Field(min_length=1)


class Dimension(_Document):
    """One thing that is judged. `floor` is the least mean score, as a share of the scale, that may be released."""

    name: Name
    description: str = Field(min_length=1)
    scale: Scale
    floor: float | None = Field(default=None, ge=0.0, le=1.0)
    examples: tuple[Example, ...] = ()

    @model_validator(mode="after")
    def _examples_on_scale(self) -> "Dimension":
        if self.name == OVERALL:
            raise ValueError(f"{OVERALL!r} is reserved for judgements over all dimensions")
        for example in self.examples:
            if not self.scale.min <= example.value <= self.scale.max:
                raise ValueError(f"example value {example.value} of {self.name!r} is off the scale {self.scale.min}..{self.scale.max}")
        return self


class Principle(_Document):
    """A principle of the rubric's constitution: by it reviewers and models criticise an answer, and then write a better one.

    Source: Bai et al. 2022, arXiv:2212.08073, section 3.1 and appendix C (pairs of a critique request and a revision request).
    """

    name: Name
    critique: str = Field(min_length=1, description="What to look for, as a request: 'Say where the answer ...'.")
    revision: str = Field(min_length=1, description="What to write instead, as a request: 'Write the answer again so that ...'.")


class Rubric(_Document):
    """A version of a rubric.

    A pair's better side is the one that wins more dimensions. It may not lose on a dimension in `vetoes`, whatever else it wins ("safety
    outranks tone"). When wins are equal, the first dimension of `tie_break` that differs decides; without one there is no pair.
    The constitution is `principles`: it has the version and the hash of the rubric.
    """

    id: Name
    version: int = Field(ge=1)
    title: str = Field(min_length=1)
    statement: str = Field(min_length=1, description="The policy statement that reviewers judge by.")
    dimensions: tuple[Dimension, ...] = Field(min_length=1)
    vetoes: tuple[str, ...] = ()
    tie_break: tuple[str, ...] = ()
    principles: tuple[Principle, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> "Rubric":
        names = [dimension.name for dimension in self.dimensions]
        if len(set(names)) != len(names):
            raise ValueError(f"dimension names must differ, given {names}")
        principles = [principle.name for principle in self.principles]
        if len(set(principles)) != len(principles):
            raise ValueError(f"principle names must differ, given {principles}")
        for key, wanted in (("vetoes", self.vetoes), ("tie_break", self.tie_break)):
            for name in wanted:
                if name not in names:
                    raise ValueError(f"{key} names {name!r}, which is no dimension; dimensions are {names}")
        return self

    def dimension(self, name: str) -> Dimension | None:
        """Return the dimension of that name, or None."""
        return next((dimension for dimension in self.dimensions if dimension.name == name), None)
