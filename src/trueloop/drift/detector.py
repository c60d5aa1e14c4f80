"""Whether the mean loss of a series has risen above what it was."""

from dataclasses import dataclass, field, replace
from math import log
from typing import Protocol

from trueloop.drift.loss_window import LossWindow, extend
from trueloop.drift.reference import FIRST_SHARE, Reference, armed_again, is_below, reference
from trueloop.drift.shiryaev_roberts import Losses, ShiryaevRoberts, checked, run
from trueloop.events.drift import DriftState

VERSION = 2
NAME = "shiryaev-roberts-betting"
REFERENCE_SHARE = 0.5
"""Share of the false alarms that bounds of references may cause; the e-detector may cause the others. Of a reference of 200 and an average run
length of 10 000 a share of a half makes the widest bounds worth log(2 / 0.5) in the threshold."""
WARNING_SHARE = 0.1
"""A warning comes at this share of the e-value of an alarm, so the first warning keeps a contract of its own: a tenth of the alarms' average
run length. (Half of the logarithm would be reached all the time: the statistic rests near 1 / (stake x relative margin), not near 1.)"""
WARNING_ENDS_SHARE = 0.02
"""And it ends at this one, a fifth of where it began: a single good answer lowers the statistic a little, and must not end what the next bad one
begins again."""
MAX_CHECKPOINTS = 8
"""Checkpoints that are remembered, the newest."""


class Contract(Protocol):
    """What a detector is asked for: the drift section of a policy."""

    @property
    def reference_size(self) -> int:
        """Losses in a reference window, >= 1."""

    @property
    def arl_target(self) -> float:
        """The declared average run length, in losses, > 1."""

    @property
    def tolerance(self) -> float:
        """The rise of the mean loss that is not worth an alarm, [0, 1]."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Losses in number and sum."""

    n: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        """Mean loss in [0, 1]; None without any."""
        return min(1.0, self.total / self.n) if self.n else None


@dataclass(frozen=True, slots=True)
class Detector:
    """State of the detector of one series; bounded in size.

    *What is tested.* Windows of `reference_size` losses follow each other without a gap. The first one is the reference. The null hypothesis
    is that the expected loss stays at or below the mean expected loss of the reference window plus `tolerance`; against it runs an
    e-detector, with an upper confidence bound of the reference in the place of its unknown expectation.

    *Contract.* Call an alarm false when no expected loss since the reference window was above the mean one in it plus `tolerance`. For
    independent losses, or any with the same expectation given those before, and A = `arl_target`: for every t, the expected number of false
    alarms among the first t losses is at most t / A; and the expected number of losses until the first false alarm is at least A. Estimated
    references, later references, releases, alarms that ended and restarts of the worker are included. Proof, in short. (1) Between two alarms,
    while the bound in force holds, R - n is a supermartingale; setting R to 0, at an alarm or at a new reference, only lowers it. So R + B times
    the number of alarms - n is one over the whole life, with B = A / (1 - s) the level of an alarm: at most (1 - s) t / A alarms are expected
    while bounds hold. (2) A window may break its bounds with probability s n / A in all, n being its size; there are t / n windows; and after
    each alarm the bound that led to it is widened (`armed_again`), so a window whose bounds break causes at most as many alarms as it broke
    bounds: at most s t / A are expected. (3) Let T be when a broken bound comes in force and S the first false alarm: B P(S <= T) <= E[S] by
    optional stopping, P(T < S) <= (s / A) E[S] by Wald, so E[S] >= A. The sum over any series that come and go is at most their losses / A
    (`average_run_length`). Nothing is promised for losses that follow each other in clusters; and a rise within bound and tolerance is never
    found, however long it lasts. A larger reference narrows the bound.

    *New references.* A release changes the model, not the question: the reference stays, for it says what users were used to. A full window
    whose mean and bound are below those in force becomes the reference: what has once become better may not silently fall back. After `rebase`
    the next full window becomes the reference whatever it says; until then the old one stays in force.

    *States.* NO_DATA until the first reference is full; WARNING from a tenth of the e-value of an alarm until it has fallen below a fiftieth; ALARM
    from the threshold. An alarm
    ends, and the detector starts anew, when a checkpoint answers that has not answered before, or when a whole window after it has a mean that
    is no drift, or a new reference comes. It does not end with the statistic: the boldest gambler leads then, and two good answers would ruin
    him. An observation without checkpoint is no change.

    Attributes:
        reference: The reference in force; None while the first is being filled.
        block: Losses of the window that is being filled; it starts anew with an alarm, for those before it must not end it.
        blocks: Windows that were filled, the first reference included.
        evidence: The e-detector since the last start; it stands still during an alarm.
        current: Losses since the last start.
        checkpoint: The last checkpoint that was known.
        seen: Checkpoints that answered, in the order of their first answer.
        block_checkpoints: Those that answered in `block`.
        rebasing: Whether the next full window becomes the reference whatever it says.
    """

    reference: Reference | None = None
    block: LossWindow = field(default_factory=LossWindow)
    blocks: int = 0
    evidence: ShiryaevRoberts = field(default_factory=ShiryaevRoberts)
    current: Sample = Sample()
    checkpoint: str | None = None
    seen: tuple[str, ...] = ()
    block_checkpoints: tuple[str, ...] = ()
    rebasing: bool = False
    state: DriftState = DriftState.NO_DATA
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Change:
    """The detector right after a loss that changed its state or its reference; `count` losses of the batch were taken in by then, >= 1."""

    count: int
    detector: Detector


def threshold(config: Contract) -> float:
    """Return the logarithm of the e-detector at which it alarms."""
    return log(config.arl_target / (1.0 - REFERENCE_SHARE))


def null_mean(known: Reference, config: Contract) -> float:
    """Return the largest mean loss that is no drift, (0, 1]. At 1 no drift can be found: the reference leaves no room above."""
    return min(1.0, known.bound + config.tolerance)


def update(state: Detector, loss: float, checkpoint: str | None, config: Contract) -> Detector:
    """Return the state after one more loss, in [0, 1]. Raises ValueError for a loss outside.

    >>> from trueloop.rubrics.policy import Drift
    >>> config = Drift(reference_size=50, arl_target=1000)
    >>> state = Detector()
    >>> for number in range(50):
    ...     state = update(state, float(number % 10 == 0), None, config)
    >>> state.state, state.reference.mean
    (<DriftState.OK: 'OK'>, 0.1)
    >>> for number in range(50):
    ...     state = update(state, float(number % 10 < 8), None, config)
    >>> state.state
    <DriftState.ALARM: 'ALARM'>
    """
    if not 0.0 <= loss <= 1.0:
        raise ValueError(f"loss is {loss!r}; expected a number in [0, 1]: scale it, and leave out what is missing")
    return _advanced(_served(state, checkpoint), [loss], config)[0]


def update_batch(state: Detector, losses: Losses, checkpoint: str | None, config: Contract) -> tuple[Detector, tuple[Change, ...]]:
    """Return the state after losses that one checkpoint answered for, in their order, and every change on the way.

    The same, to the last bit, as one `update` per loss: so it does not matter where a batch is cut.

    Args:
        state: The state before.
        losses: In [0, 1]; none is no change.
        checkpoint: What answered; None when it is unknown.
        config: The contract.

    Raises:
        ValueError: A loss is NaN or outside; none of the batch is then taken in.
    """
    rest = checked(losses)
    changes: list[Change] = []
    done = 0
    while done < len(rest):
        before, state = state, _served(state, checkpoint)
        room = _room(state, config) if state.state is before.state else 1  # a release that ended an alarm is a change by itself
        state, taken = _advanced(state, rest[done : done + room], config)
        done += taken
        if state.state is not before.state or state.reference is not before.reference:
            changes.append(Change(done, state))
    return state, tuple(changes)


def rebase(state: Detector) -> Detector:
    """Return the state after a decision that what serves from now on is the standard: the next full window becomes the reference.

    For a release that was accepted although something became worse. The old reference stays in force until the window is full, so that an
    alarm against it may come and go; a window that was begun is dropped, because it may hold losses from before.
    """
    return replace(state, block=LossWindow(), block_checkpoints=(), rebasing=True)


def rebased_on_release(state: Detector, checkpoint: str | None) -> Detector:
    """Return the state, rebased when a checkpoint answers that did not answer in the reference; an unknown one is no release.

    For policies that take each release for the standard. It promises less: what falls a little with every release is never found.
    """
    known = state.reference
    if checkpoint is None or known is None or state.rebasing or not known.checkpoints or checkpoint in known.checkpoints:
        return state
    return rebase(state)


def _room(state: Detector, config: Contract) -> int:
    """Losses until the window is full; at least 1, also when a policy has just made windows smaller."""
    return max(1, config.reference_size - state.block.n)


def _served(state: Detector, checkpoint: str | None) -> Detector:
    if checkpoint is None:
        return state
    if state.block_checkpoints[-1:] != (checkpoint,) and checkpoint not in state.block_checkpoints:
        state = replace(state, block_checkpoints=(*state.block_checkpoints, checkpoint)[-MAX_CHECKPOINTS:])
    if checkpoint == state.checkpoint:
        return state
    if checkpoint not in state.seen:
        if state.seen and state.state is DriftState.ALARM:
            state = _recovered(state)
        state = replace(state, seen=(*state.seen, checkpoint)[-MAX_CHECKPOINTS:])
    return replace(state, checkpoint=checkpoint)


def _advanced(state: Detector, losses: list[float], config: Contract) -> tuple[Detector, int]:
    """Return the state after the first losses, up to a change, and how many these are. They fit into the window."""
    if state.reference is None:
        return _filled(replace(state, block=extend(state.block, losses)), config), len(losses)
    limit, alarm_at = null_mean(state.reference, config), config.arl_target / (1.0 - REFERENCE_SHARE)
    evidence, taken = state.evidence, len(losses)
    # Where no loss can be above the null mean there is nothing to bet on; R would only count the losses.
    if limit < 1.0 and state.state is not DriftState.ALARM:
        warned = state.state is DriftState.WARNING
        low, high = (alarm_at * WARNING_ENDS_SHARE, alarm_at) if warned else (0.0, alarm_at * WARNING_SHARE)
        evidence = run(state.evidence, losses, limit, low, high)
        taken = evidence.n - state.evidence.n
    seen = losses[:taken]
    current = Sample(state.current.n + taken, _added(state.current.total, seen))
    following = replace(state, evidence=evidence, current=current, block=extend(state.block, seen))
    if state.state is DriftState.ALARM or evidence.n == 0:
        return _filled(following, config), taken
    if evidence.e_detector >= alarm_at:
        alarmed = replace(following, state=DriftState.ALARM)
        return alarmed if state.rebasing else replace(alarmed, block=LossWindow(), block_checkpoints=()), taken
    share = WARNING_ENDS_SHARE if state.state is DriftState.WARNING else WARNING_SHARE
    level = DriftState.WARNING if evidence.e_detector >= alarm_at * share else DriftState.OK
    return _filled(replace(following, state=level), config), taken


def _filled(state: Detector, config: Contract) -> Detector:
    """Close the window when it is full, and make it the reference if it is the first, if that was decided, or if the series became better."""
    window, known = state.block, state.reference
    if window.n < config.reference_size or window.mean is None:
        return state
    # A window may break its bounds once in as many losses as REFERENCE_SHARE allows, whatever its size.
    error = REFERENCE_SHARE * min(1.0, window.n / config.arl_target)
    closed = replace(state, block=LossWindow(), block_checkpoints=(), blocks=state.blocks + 1)
    if known is None or state.rebasing or (window.mean < known.mean and is_below(window, known.bound, error * FIRST_SHARE)):
        found = reference(window, error, number=closed.blocks, checkpoints=state.block_checkpoints)
        return _restarted(replace(closed, reference=found, rebasing=False))
    if state.state is DriftState.ALARM and window.mean <= null_mean(known, config):
        return _recovered(closed)
    return closed


def _recovered(state: Detector) -> Detector:
    """Start anew after an alarm, with the bound widened: it led to an alarm that is over, so it may have been too low."""
    return _restarted(replace(state, reference=None if state.reference is None else armed_again(state.reference)))


def _restarted(state: Detector) -> Detector:
    return replace(state, evidence=ShiryaevRoberts(), current=Sample(), state=DriftState.OK)


def _added(total: float, losses: list[float]) -> float:
    for loss in losses:  # one after the other, as single updates do: `sum` rounds differently from Python 3.12 on
        total += loss
    return total
