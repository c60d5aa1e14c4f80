"""When training ends before its last step: rules on the scores of held-out items, and a budget of divergence from the reference model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

PLATEAU: Final = "plateau"
SLICE_SLIPPED: Final = "slice_slipped"
KL_BUDGET: Final = "kl_budget"


class HeldOutStopping(BaseModel):
    """Training ends when the score of held-out prompts no longer rises, or when it falls on a slice. Without a share there are no such rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.0, ge=0, le=0.5, description="share of the training prompts that is held out; 0 trains on all and never stops early")
    every_steps: int = Field(default=20, ge=1, description="steps between two looks at them")
    patience: int = Field(default=3, ge=1, le=100, description="looks without a gain after which training ends")
    min_gain: float = Field(default=0.0, ge=0, le=1, description="rise over the best look that counts as a gain")
    max_slice_drop: float | None = Field(default=None, gt=0, le=1, description="fall of a slice below its best look that ends training; null for none")
    min_slice_items: int = Field(default=20, ge=1, description="held-out items below which a slice is not looked at")

    @model_validator(mode="after")
    def _used(self) -> "HeldOutStopping":
        changed = [name for name, info in type(self).model_fields.items() if name != "share" and getattr(self, name) != info.default]
        if self.share == 0 and changed:
            raise ValueError(f"sets {changed} and holds nothing out; expected share > 0")
        return self


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over held-out items, and how many they are."""

    value: float
    n: int


@dataclass(frozen=True, slots=True)
class Look:
    """The scores at one step: over all held-out items, and by slice ('name=value')."""

    step: int
    overall: Score
    slices: Mapping[str, Score] = field(default_factory=dict)


def stop_reason(looks: Sequence[Look], rules: HeldOutStopping) -> str | None:
    """Return 'slice_slipped:NAME=VALUE' or 'plateau' when the newest look ends training, None when it goes on. `looks` is oldest first.

    No test of significance: with 100 held-out pairs an accuracy has a standard error of up to 0.05, so `max_slice_drop` and `patience` are to
    be chosen with the size of the held-out share in view.

    >>> rules = HeldOutStopping(share=0.1, patience=2)
    >>> looks = [Look(20, Score(0.6, 50)), Look(40, Score(0.7, 50)), Look(60, Score(0.7, 50)), Look(80, Score(0.69, 50))]
    >>> [stop_reason(looks[:n], rules) for n in (0, 1, 2, 3, 4)]
    [None, None, None, None, 'plateau']
    """
    if not looks:
        return None
    slipped = _slipped(looks, rules)
    if slipped is not None:
        return f"{SLICE_SLIPPED}:{slipped}"
    best, since = looks[0].overall.value, 0
    for look in looks[1:]:
        if look.overall.value > best + rules.min_gain:
            best, since = look.overall.value, 0
        else:
            since += 1
    return PLATEAU if since >= rules.patience else None


def over_kl_budget(kl: float, budget: float | None) -> str | None:
    """Return 'kl_budget' when the divergence from the reference model, in nats per completion, exceeds the budget; a budget of None is none.

    >>> over_kl_budget(12.0, 10.0), over_kl_budget(9.0, 10.0), over_kl_budget(12.0, None)
    ('kl_budget', None, None)
    """
    return KL_BUDGET if budget is not None and kl > budget else None


def _slipped(looks: Sequence[Look], rules: HeldOutStopping) -> str | None:
    """Return the slice that fell furthest below its best, if any fell by more than it may; equal falls go by name."""
    if rules.max_slice_drop is None:
        return None
    falls = []
    for name, score in looks[-1].slices.items():
        if score.n >= rules.min_slice_items:
            best = max(look.slices[name].value for look in looks if name in look.slices)
            falls.append((score.value - best, name))
    worst = min(falls, default=None)
    return worst[1] if worst is not None and worst[0] < -rules.max_slice_drop else None
