"""Training outside the warm process, for real, on the CPU: in processes of `accelerate launch`, and by what a pod would run.

There is no cluster: in place of `kubectl` and the cluster a script takes the manifest and runs its container's command, word for word, as a process of
this machine that outlives the script.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("trl")

from trueloop.trainers import sft, tiny_lm
from trueloop.trainers.accelerate_executor import AccelerateLaunch
from trueloop.trainers.exchange import ENDED, ORDER, Exchange, RemoteFault
from trueloop.trainers.executor import Executor
from trueloop.trainers.kubernetes_executor import KubernetesJob

from tests.integration.job_house import wait_for
from trueloop.demo.billing import REFERENCE, corpus_pair

TEMPLATE = Path(__file__).parents[2] / "ops" / "kubernetes" / "training-job.yaml"
CLUSTER = """
import json, os, pathlib, subprocess, sys, yaml
folder = pathlib.Path(__file__).parent
verb = sys.argv[1]
with (folder / "calls").open("a") as calls:
    calls.write(verb + "\\n")
if verb == "apply":
    (container,) = yaml.safe_load(pathlib.Path(sys.argv[3]).read_text())["spec"]["template"]["spec"]["containers"]
    path = os.path.dirname(sys.executable) + ":" + os.environ["PATH"]
    with (folder / "pod.log").open("w") as log:
        pod = subprocess.Popen(
            container["command"], env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (folder / "pid").write_text(str(pod.pid))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    corpus: list[Any] = [(list(case.messages), answer) for case, answer in (corpus_pair(index, "base", REFERENCE) for index in range(20))]
    small = {"hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 32, "batch_size": 2, "threads": 1}
    tiny_lm.main(tiny_lm.Config(output_dir=tmp_path / "base", steps=1, **small), corpus)
    return tmp_path / "base"


def settings(base: Path, folder: Path, **changes: Any) -> sft.Config:
    rows = [{"prompt": list(case.messages), "completion": answer} for case, answer in (corpus_pair(index, "rows", REFERENCE) for index in range(20))]
    (folder / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    places: dict[str, Any] = {"model_dir": base, "dataset_file": folder / "dataset.jsonl", "output_dir": folder / "output"}
    return sft.Config(**places | {"batch_size": 4, "threads": 1} | changes)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A job's working directory; a pod that a test left is gone afterwards, as its order is."""
    made = tmp_path / "jobs" / ("a" * 32) / "work"
    made.mkdir(parents=True)
    (tmp_path / "cluster.py").write_text(CLUSTER)
    yield made
    (made / ORDER).unlink(missing_ok=True)


def accelerate(_: Path) -> Executor:
    return AccelerateLaunch(("--multi_gpu", "--num_processes=2", "--num_cpu_threads_per_process=1"))


def kubernetes(folder: Path) -> KubernetesJob:
    return KubernetesJob(TEMPLATE, submit=True, kubectl=(sys.executable, str(folder / "cluster.py")))


def pod(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "pid").read_text()))


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("executor", [accelerate, kubernetes])
def test_what_training_fails_of_there_is_told_here(executor: Any, base: Path, work: Path, tmp_path: Path) -> None:
    config = settings(base, work)
    config.dataset_file.write_text("no JSON\n")
    with pytest.raises(RemoteFault) as found:
        executor(tmp_path).train("sft", config, work, lambda *_: None)
    assert found.value.fault.error_class == "DatasetError"
    assert "line 1" in found.value.fault.message


@pytest.mark.long
@pytest.mark.parametrize(("executor", "processes"), [(accelerate, 2), (kubernetes, 1)])
def test_the_processes_train_and_tell_of_it(executor: Any, processes: int, base: Path, work: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    steps: list[tuple[int, int]] = []
    config = settings(base, work)
    report = executor(tmp_path).train("sft", config, work, lambda step, total, _: steps.append((step, total)))

    # 20 rows, 4 to a device and step: that each process has its share of them shows in how many steps there are.
    planned = 5 if processes == 1 else 3
    assert [step for step in steps if step[0]] == [(step, planned) for step in range(1, planned + 1)]
    assert (0, 0) in steps, "the wait for its imports shows life"
    assert report.checkpoint_dir == str(config.output_dir)
    assert report.metrics["demonstrations"] == 20.0
    trained, before = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (config.output_dir, base))
    assert any(not trained[name].equal(before[name]) for name in before)
    assert AutoTokenizer.from_pretrained(config.output_dir).chat_template
    assert "FAILED" not in "".join(capfd.readouterr()), "the launcher holds none of the processes for failed"


@pytest.mark.long
def test_a_pod_whose_order_is_taken_away_ends(base: Path, work: Path, tmp_path: Path) -> None:
    config = settings(base, work, epochs=1000, batch_size=1)
    executor, exchange = kubernetes(tmp_path), Exchange(work)
    (work / "job.yaml").write_text(executor.manifest(work), encoding="utf-8")
    exchange.write_order("sft", config)
    executor._run("apply", "--filename", str(work / "job.yaml"))
    process = pod(tmp_path)
    steps: list[int] = []

    def in_training() -> bool:
        assert exchange.follow(lambda step, *_: steps.append(step)) is None
        return bool(steps)

    wait_for(in_training, "a step of the pod", 180.0)
    (work / ORDER).unlink()

    wait_for(lambda: is_gone(process), "end of the pod", 30.0)
    assert not (work / ENDED).exists()
