"""Where the training of a job runs: in the warm process itself, or in processes that another program starts.

An executor runs a method's `main` and nothing else. Dataset, checkpoint store, evaluation and events stay with the process that took the job, so
cancelling, time limits, retries and resuming are the same with each of them.
"""

from pathlib import Path
from typing import Protocol

from pydantic import BaseModel
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.methods import find_method

from trueloop.config import TrainerSettings
from trueloop.errors import ConfigurationError


class Executor(Protocol):
    """Runs the training of one job to its end."""

    def train(self, method: str, config: BaseModel, directory: Path, progress: Progress) -> TrainingReport:
        """Return what `main(config, progress)` of a method returns; whatever it raises, in its class and words, is raised here.

        Args:
            method: Name of the method.
            config: Its Config, places included. They lie on a file system that the executor's processes share.
            directory: The job's working directory, to exchange files in.
            progress: Called as `main` would call it, in this process; an executor calls it with step 0 while it waits for a start.
        """
        ...


class InProcess:
    """The default: the warm process trains, a second after the request."""

    def train(self, method: str, config: BaseModel, directory: Path, progress: Progress) -> TrainingReport:
        """Call the method's `main` here."""
        report: TrainingReport = find_method(method).load().main(config, progress)
        return report


def open_executor(settings: TrainerSettings) -> Executor:
    """Return the executor that this worker's settings name. Raises ConfigurationError when a setting is missing."""
    if settings.executor == "accelerate":
        from trueloop.trainers.accelerate_executor import AccelerateLaunch

        return AccelerateLaunch(settings.accelerate_arguments)
    if settings.executor == "kubernetes":
        from trueloop.trainers.kubernetes_executor import KubernetesJob

        if settings.kubernetes_template is None:
            raise ConfigurationError("trainer.executor is 'kubernetes' without trainer.kubernetes_template; expected a manifest: copy that of ops/kubernetes")
        return KubernetesJob(settings.kubernetes_template, submit=settings.kubernetes_submit)
    return InProcess()
