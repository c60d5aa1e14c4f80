"""The manifest of a training job is a `batch/v1` Job, field by field; what a cluster would reject is rejected here. No cluster was at hand to ask.

The tables hold the fields of https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.30/ that a training job may want, in the API's spelling:
a cluster with strict decoding rejects an unknown one, any other passes over it in silence.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from trueloop.trainers.kubernetes_executor import KubernetesJob

TEMPLATE = Path(__file__).parents[2] / "ops" / "kubernetes" / "training-job.yaml"
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABELS = "map of texts"
KINDS: dict[str, dict[str, Any]] = {
    "Job": {"apiVersion": str, "kind": str, "metadata": "ObjectMeta", "spec": "JobSpec"},
    "ObjectMeta": {"name": str, "namespace": str, "labels": LABELS, "annotations": LABELS},
    "JobSpec": {"backoffLimit": int, "ttlSecondsAfterFinished": int, "activeDeadlineSeconds": int, "template": "PodTemplateSpec"},
    "PodTemplateSpec": {"metadata": "ObjectMeta", "spec": "PodSpec"},
    "PodSpec": {
        "restartPolicy": str, "automountServiceAccountToken": bool, "serviceAccountName": str, "nodeSelector": LABELS,
        "terminationGracePeriodSeconds": int, "containers": ["Container"], "volumes": ["Volume"],
    },
    "Container": {
        "name": str, "image": str, "imagePullPolicy": str, "command": [str], "args": [str], "workingDir": str, "env": ["EnvVar"],
        "resources": "ResourceRequirements", "securityContext": "SecurityContext", "volumeMounts": ["VolumeMount"],
    },
    "EnvVar": {"name": str, "value": str},
    "ResourceRequirements": {"limits": LABELS, "requests": LABELS},
    "SecurityContext": {
        "allowPrivilegeEscalation": bool, "capabilities": "Capabilities", "readOnlyRootFilesystem": bool, "runAsNonRoot": bool, "runAsUser": int,
    },
    "Capabilities": {"add": [str], "drop": [str]},
    "VolumeMount": {"name": str, "mountPath": str, "readOnly": bool, "subPath": str},
    "Volume": {"name": str, "persistentVolumeClaim": "PersistentVolumeClaimVolumeSource"},
    "PersistentVolumeClaimVolumeSource": {"claimName": str, "readOnly": bool},
}  # fmt: skip


def faults(value: Any, kind: Any, path: str = "") -> list[str]:
    """Return what the API would not take, by path."""
    if isinstance(kind, list):
        if not isinstance(value, list) or not value:
            return [f"{path} is no list"]
        return [fault for place, item in enumerate(value) for fault in faults(item, kind[0], f"{path}[{place}]")]
    if kind == LABELS:
        return [] if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()) else [f"{path} is no {LABELS}"]
    if not isinstance(kind, str):
        return [] if type(value) is kind else [f"{path} is no {kind.__name__}"]
    if not isinstance(value, dict):
        return [f"{path} is no {kind}"]
    known = KINDS[kind]
    unknown = [f"{path}.{name} is no field of {kind}" for name in value if name not in known]
    return unknown + [fault for name, item in value.items() if name in known for fault in faults(item, known[name], f"{path}.{name}")]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "jobs" / ("a" * 32) / "work"
    made.mkdir(parents=True)
    return made


def test_the_shipped_manifest_is_a_job_that_runs_what_is_launched(directory: Path) -> None:
    found = yaml.safe_load(KubernetesJob(TEMPLATE, submit=False).manifest(directory))

    assert faults(found, "Job") == []
    assert (found["apiVersion"], found["kind"], found["metadata"]["name"]) == ("batch/v1", "Job", "trueloop-train-" + "a" * 20)
    pod = found["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (found["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert container["command"] == ["python", "-m", "trueloop.trainers.launched", "--while-ordered", str(directory)]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert all(DNS_LABEL.fullmatch(name) for name in (found["metadata"]["name"], container["name"], *(volume["name"] for volume in pod["volumes"])))


@pytest.mark.parametrize(
    ("written", "instead_of", "says"),
    [
        ("backofLimit: 0", "backoffLimit: 0", ".spec.backofLimit is no field of JobSpec"),
        ("backoffLimit: none", "backoffLimit: 0", ".spec.backoffLimit is no int"),
        ("restartpolicy: Never", "restartPolicy: Never", ".spec.template.spec.restartpolicy is no field of PodSpec"),
        ('nvidia.com/gpu: [1]', 'nvidia.com/gpu: "1"', ".spec.template.spec.containers[0].resources.limits is no map of texts"),
        ("volume_mounts:", "volumeMounts:", ".spec.template.spec.containers[0].volume_mounts is no field of Container"),
    ],
)  # fmt: skip
def test_what_a_cluster_would_reject_is_found(directory: Path, tmp_path: Path, written: str, instead_of: str, says: str) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert instead_of in text
    (tmp_path / "wrong.yaml").write_text(text.replace(instead_of, written), encoding="utf-8")
    assert faults(yaml.safe_load(KubernetesJob(tmp_path / "wrong.yaml", submit=False).manifest(directory)), "Job") == [says]
