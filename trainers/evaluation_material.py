"""What candidate and baseline are put to: held-out prompts, probes and held-out pairs, as the policy's evaluators need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueloop.trainers import preference_accuracy
from trueloop.trainers.evaluators import Check, find_check
from trueloop.trainers.installed_probes import find_probes
from trueloop.trainers.job_context import JobContext

from trueloop.datasets.calibration import CalibrationSet
from trueloop.datasets.chat import ChatMessage, chat_messages
from trueloop.datasets.pairs_dataset import build_pairs_dataset, is_probable, is_seen, seen_prompts
from trueloop.events import PreferencePair, Split
from trueloop.gates.probes import Probe
from trueloop.rubrics import InForce
from trueloop.rubrics.gate_policy import PROBE, Gate

CHECK, JUDGE = "check:", "judge:"
Prompts = Mapping[str, Sequence[ChatMessage]]


@dataclass(frozen=True, slots=True)
class Material:
    """The same for both models.

    Attributes:
        in_force: Policy and rubric.
        n_items: Items of the calibration set.
        prompts: Held-out prompts by item; empty when no evaluator reads answers.
        probes: Probes by category and name.
        checks: Checks by name; one that is not installed is absent.
        pairs: Held-out pairs; empty when no evaluator reads them.
        slices: Segments by item or pair.
    """

    in_force: InForce
    n_items: int
    prompts: Prompts
    probes: Mapping[str, Mapping[str, Probe]]
    checks: Mapping[str, Check]
    pairs: Sequence[PreferencePair]
    slices: Mapping[str, Mapping[str, str]]

    @property
    def gate(self) -> Gate:
        """The policy's gate."""
        return self.in_force.policy.gate

    @property
    def to_answer(self) -> Prompts:
        """All prompts that are answered, by item; a probe's item is 'probe:SET/ID'."""
        probes = {
            PROBE + name: [{"role": message.role, "content": message.content} for message in probe.messages]
            for category in self.probes.values()
            for name, probe in category.items()
        }
        return {**self.prompts, **probes}

    def named(self, prefix: str) -> list[str]:
        """Return the names of the evaluators of a kind, in order: 'check:billing' is 'billing' among the checks."""
        return _named(self.gate, prefix)


def gather(context: JobContext, in_force: InForce, calibration: CalibrationSet) -> Material:
    """Return what the policy's evaluators need. Raises UnavailableError or IntegrityError."""
    gate = in_force.policy.gate
    checks = {name: check for name in _named(gate, CHECK) if (check := find_check(name)) is not None}
    read = bool(checks) or bool(_named(gate, JUDGE)) or gate.diagnose_reward is not None or gate.asks_people is not None
    prompts = {item.item_id: chat_messages(item.messages) or [] for item in calibration.items} if read else {}
    pairs: list[PreferencePair] = []
    if any(dimension.evaluator == preference_accuracy.EVALUATOR for dimension in gate.dimensions):
        split_by = in_force.policy.sampling.split_by
        trained = seen_prompts(context.pair_log, split_by)
        held_out = build_pairs_dataset(context.dataset_log, context.selection(Split.CALIBRATION)).pairs
        pairs = [pair for pair in held_out if is_probable(pair, gate.pairs_p_correct) and not is_seen(pair, trained, split_by)][: gate.max_items]
    slices = {item.item_id: item.slices for item in calibration.items} | {pair.pair_id: pair.slices for pair in pairs}
    probes = {category: find_probes(category) for category in _named(gate, PROBE)}
    return Material(in_force, len(calibration.items), prompts, probes, checks, pairs, slices)


def _named(gate: Gate, prefix: str) -> list[str]:
    return sorted({dimension.evaluator.removeprefix(prefix) for dimension in gate.dimensions if dimension.evaluator.startswith(prefix)})
