"""Training in a Kubernetes Job that mounts the model store at the path where this worker has it.

The manifest is a template of the operator's with $job_name and $directory in it (ops/kubernetes/training-job.yaml). It is handed to `kubectl`, or
written beside the job for somebody else to submit. The pod and this process speak through files in the job's working directory, so nothing of the
cluster has to reach this process, and the pod needs no address of it. The pod ends when its order is taken away.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from string import Template

from pydantic import BaseModel
from trueloop.trainers.exchange import POLL_S, Exchange, wait_for_next_look
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.training_report import TrainingReport

from trueloop.errors import ConfigurationError, TrainingError

MANIFEST = "training-job.yaml"
ASK_EVERY_LOOKS = round(10.0 / POLL_S)
"""Looks at the files between two questions whether the Job has failed: a pod that cannot start writes none."""
_KUBECTL_TIMEOUT_S = 60.0
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/-]+")


class KubernetesJob:
    """Submits one Job per training, or writes its manifest."""

    def __init__(self, template: Path, *, submit: bool, kubectl: Sequence[str] = ("kubectl",)) -> None:
        self._template = template
        self._submit = submit
        self._kubectl = tuple(kubectl)

    def manifest(self, directory: Path) -> str:
        """Return the manifest of a job. Raises ConfigurationError when there is no template, or it names what is not known."""
        if not _PLAIN_PATH.fullmatch(str(directory)):
            raise ConfigurationError(f"models_dir {str(directory)!r} has characters that a manifest would have to quote; expected letters, digits, . _ / -")
        try:
            template = Template(self._template.read_text(encoding="utf-8"))
            return template.substitute(job_name=self.name(directory), directory=str(directory))
        except OSError as error:
            raise ConfigurationError(f"no template at trainer.kubernetes_template {str(self._template)!r}: {error.strerror}") from None
        except (KeyError, ValueError) as error:
            raise ConfigurationError(f"template {str(self._template)!r} names {error}; expected $job_name and $directory, and $$ for a dollar sign") from None

    def name(self, directory: Path) -> str:
        """Return the name of the Job: that of the job's directory, which is a hash of its id."""
        return f"trueloop-train-{directory.parent.name[:20]}"

    def train(self, method: str, config: BaseModel, directory: Path, progress: Progress) -> TrainingReport:
        """Submit, follow and return the report. Raises TrainingError when the Job fails without one."""
        exchange = Exchange(directory)
        path = directory / MANIFEST
        path.write_text(self.manifest(directory), encoding="utf-8")
        exchange.write_order(method, config)
        if self._submit:
            # A Job of that name may be left of a worker that was killed; its pod has lost its order by now.
            self._run("delete", "job", self.name(directory), "--ignore-not-found", "--wait=true")
            self._run("apply", "--filename", str(path))
        try:
            return self._follow(exchange, self.name(directory), progress)
        finally:
            if self._submit:
                self._run("delete", "job", self.name(directory), "--ignore-not-found", "--wait=false")

    def _follow(self, exchange: Exchange, name: str, progress: Progress) -> TrainingReport:
        looks = 0
        while True:
            looks += 1
            failed = self._submit and looks % ASK_EVERY_LOOKS == 0 and self._has_failed(name)
            report = exchange.follow(progress)
            if report is not None:
                return report
            if failed:
                raise TrainingError(f"Kubernetes Job {name!r} failed and left no report; `kubectl describe job {name}` says why")
            wait_for_next_look(progress)

    def _has_failed(self, name: str) -> bool:
        return bool(self._run("get", "job", name, "--output", 'jsonpath={.status.conditions[?(@.type=="Failed")].status}').strip())

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run([*self._kubectl, *arguments], capture_output=True, text=True, timeout=_KUBECTL_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TrainingError(f"`kubectl {arguments[0]}` cannot be run: {type(error).__name__}; is it installed, and does the cluster answer?") from None
        if done.returncode:
            raise TrainingError(f"`kubectl {' '.join(arguments[:2])}` ended with exit code {done.returncode}: {done.stderr.strip()[:300]}")
        return done.stdout
