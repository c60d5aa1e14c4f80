"""What a reward model thinks of the answers: told beside the rubric's scores, because a reward that rises while they fall was hacked."""

from collections.abc import Mapping

from trueloop.trainers.evaluation_material import Material
from trueloop.trainers.job_context import JobContext
from trueloop.trainers.rewards.reward_model import RewardModel

from trueloop.events import Diagnostic, DiagnosticKind
from trueloop.gates.diagnostics import paired


def diagnose_reward(context: JobContext, material: Material, candidate: Mapping[str, str], baseline: Mapping[str, str]) -> list[Diagnostic]:
    """Return the reward of the answers of both, over the prompts on which both have one; nothing when the policy names no reward model.

    Raises ConfigurationError when it is none or not in the store, IntegrityError when it was changed.
    """
    common = sorted(candidate.keys() & baseline.keys())
    if material.gate.diagnose_reward is None or not common:
        return []
    model = RewardModel.load(context.store.resolve(material.gate.diagnose_reward), alive=context.alive)
    prompts = [material.prompts[item] for item in common]
    ours, theirs = (model.score(prompts, [answers[item] for item in common]) for answers in (candidate, baseline))
    both = [(mine, yours) for mine, yours in zip(ours, theirs, strict=True) if mine is not None and yours is not None]
    return [paired(DiagnosticKind.REWARD, [mine for mine, _ in both], [yours for _, yours in both])] if both else []
