"""DPO with a confidence for each pair: the loss is what it says, it is TRL's where it should be, and TRL is the version that was read."""

import hashlib
import inspect
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trueloop.trainers import dpo, tiny_lm
from trueloop.trainers.confident_dpo_trainer import ConfidentDPOTrainer, ConfidentPairCollator
from trueloop.trainers.pair_loss import confident_dpo_losses

from trueloop.demo.billing import REFERENCE, corpus_pair, make_case, write_answer

READ = "1.16.0"
SOURCES = {
    "_compute_loss": "5e58a1699e0d76cd",
    "_precompute_ref_logps": "f2c098c7da6ca701",
    "_set_signature_columns_if_needed": "71225a628baed4cb",
    "compute_ref_log_probs": "90611af9cbadb8ec",
}
"""First digits of the SHA-256 of the methods that ours override, and of the one that calls them."""


def tensor(*values: float) -> Any:
    return torch.tensor(values, dtype=torch.float64)


def test_trl_is_the_version_whose_private_methods_were_read() -> None:
    assert version("trl") == READ
    found = {name: hashlib.sha256(inspect.getsource(getattr(DPOTrainer, name)).encode()).hexdigest()[:16] for name in SOURCES}
    assert found == SOURCES


def test_the_loss_is_cdpo_written_by_hand() -> None:
    delta, epsilon, offset, beta = tensor(-3.0, 0.0, 0.7, 9.0), tensor(0.0, 0.1, 0.3, 0.5), tensor(0.0, 0.0, 0.5, 1.0), 0.3

    losses = confident_dpo_losses(delta, beta=beta, epsilon=epsilon, offset=offset)

    right, wrong = 1 / (1 + torch.exp(-(beta * delta - offset))), 1 / (1 + torch.exp(-(-beta * delta - offset)))
    torch.testing.assert_close(losses, -(1 - epsilon) * torch.log(right) - epsilon * torch.log(wrong), rtol=1e-12, atol=1e-12)


def test_a_certain_pair_without_a_margin_is_plain_dpo() -> None:
    delta = tensor(-50.0, -1.0, 0.0, 2.0, 50.0)
    plain = -torch.nn.functional.logsigmoid(0.1 * delta)
    assert torch.equal(confident_dpo_losses(delta, beta=0.1, epsilon=torch.zeros(5), offset=torch.zeros(5)), plain)


def test_the_order_of_a_pair_of_which_nothing_is_known_has_no_influence() -> None:
    for offset in (0.0, 0.4):
        gradients = []
        for sign in (1.0, -1.0):
            delta = tensor(0.8).requires_grad_()
            confident_dpo_losses(sign * delta, beta=0.5, epsilon=tensor(0.5), offset=tensor(offset)).sum().backward()
            gradients.append(delta.grad)
        torch.testing.assert_close(gradients[0], gradients[1])
    zero = tensor(0.0).requires_grad_()
    confident_dpo_losses(zero, beta=0.5, epsilon=tensor(0.5), offset=tensor(0.0)).sum().backward()
    assert zero.grad is not None
    assert zero.grad.item() == 0.0, "at the reference model it moves nothing"


def test_with_an_epsilon_the_best_ratio_is_finite() -> None:
    """cDPO holds the policy where s(beta delta) = 1 - epsilon (Mitchell 2023); plain DPO drives it to infinity."""
    best = torch.logit(tensor(0.9)) / 0.1
    delta = best.clone().requires_grad_()
    confident_dpo_losses(delta, beta=0.1, epsilon=tensor(0.1), offset=tensor(0.0)).sum().backward()
    assert delta.grad is not None
    assert abs(delta.grad.item()) < 1e-12


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("base")
    config = tiny_lm.Config(output_dir=directory, hidden_size=32, layers=2, heads=2, intermediate_size=32, batch_size=4, steps=2, threads=1)
    tiny_lm.main(config, [(case.messages, answer) for case, answer in (corpus_pair(index, "base", REFERENCE) for index in range(20))])
    return directory


def pairs(n: int = 6) -> list[dict[str, Any]]:
    cases = [make_case(index, "pairs") for index in range(n)]
    return [
        {"prompt": list(case.messages), "chosen": write_answer(case, salt="a"), "rejected": "Read your bill. " * (1 + index % 3)}
        for index, case in enumerate(cases)
    ]


def arguments(base: Path, folder: Path, trainer: Any, worth: dict[str, float] | None = None, collator: Any = None) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [
        {"prompt": row["prompt"], **{key: [{"role": "assistant", "content": row[key]}] for key in ("chosen", "rejected")}, **(worth or {})} for row in pairs()
    ]
    settings = DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=6, beta=0.2, precompute_ref_log_probs=True, use_cpu=True, bf16=False, max_length=400,
        gradient_checkpointing=False, report_to="none", disable_tqdm=True,
    )  # fmt: skip
    return trainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        data_collator=collator and collator(pad_token_id=tokenizer.pad_token_id, max_length=400),
    )


def gradients(trainer: Any) -> tuple[float, dict[str, Any]]:
    """Loss and gradients of the first batch, with weights moved away from the reference model, where the losses differ."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in trainer.model.parameters():
            weights.add_(0.02 * torch.randn_like(weights))
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    loss.backward()
    return loss.item(), {name: weights.grad for name, weights in trainer.model.named_parameters()}


def test_loss_and_gradients_are_those_of_trl(base: Path, tmp_path: Path) -> None:
    certain = {"epsilon": 0.0, "weight": 1.0, "offset": 0.0}
    theirs, their_gradients = gradients(arguments(base, tmp_path, DPOTrainer))
    ours, our_gradients = gradients(arguments(base, tmp_path, ConfidentDPOTrainer, certain, ConfidentPairCollator))

    assert ours == pytest.approx(theirs, rel=1e-5)
    for name, gradient in their_gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def test_what_a_pair_is_worth_reaches_its_gradient(base: Path, tmp_path: Path) -> None:
    _, whole = gradients(arguments(base, tmp_path, ConfidentDPOTrainer, {"epsilon": 0.0, "weight": 1.0, "offset": 0.0}, ConfidentPairCollator))
    _, half = gradients(arguments(base, tmp_path, ConfidentDPOTrainer, {"epsilon": 0.0, "weight": 0.5, "offset": 0.0}, ConfidentPairCollator))
    for name, gradient in whole.items():
        torch.testing.assert_close(half[name], gradient / 2, rtol=1e-3, atol=1e-7, msg=name)


def config(base: Path, folder: Path, rows: list[dict[str, Any]], **changes: Any) -> dpo.Config:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    places = {"model_dir": base, "dataset_file": folder / "rows.jsonl", "output_dir": folder / "out"}
    return dpo.Config(**(places | {"batch_size": 4, "max_steps": 2, "threads": 1} | changes))


def test_pairs_without_weight_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    rows = [row | {"weight": float(index % 2), "p_correct": 0.8, "margin": 0.5} for index, row in enumerate(pairs())]
    report = dpo.main(config(base, tmp_path, rows, weighted=True, confidence="conservative", margin_offset=0.5, sft_weight=0.1))
    assert (report.metrics["pairs"], report.metrics["pairs_without_weight"]) == (3.0, 3.0)
    with pytest.raises(ValueError, match="all 6 pairs have weight 0"):
        dpo.main(config(base, tmp_path, [row | {"weight": 0} for row in rows], weighted=True))


@pytest.mark.parametrize("column", ["weight", "margin", "p_correct"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), "much", True])
def test_a_pair_of_unknown_worth_is_refused(column: str, value: Any, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"line 2: '{column}'"):
        dpo.main(config(base, tmp_path, [pairs()[0], pairs()[1] | {column: value}]))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": "ipo", "confidence": "conservative"}, "confidence"),
        ({"loss": "hinge", "weighted": True}, "weighted"),
        ({"loss": "sigmoid", "label_smoothing": 0.1}, "confidence = 'conservative'"),
        ({"loss": "exo_pair"}, "0.001"),
        ({"loss": "dpo"}, "loss"),
    ],
)
def test_settings_that_nothing_reads_are_refused(settings: dict[str, Any], says: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        config(base, tmp_path, pairs(), **settings)


@pytest.mark.parametrize("loss", ["robust", *(pytest.param(name, marks=pytest.mark.long) for name in ("ipo", "exo_pair", "apo_zero"))])
def test_the_other_losses_train(loss: str, base: Path, tmp_path: Path) -> None:
    smoothing = {"label_smoothing": 0.1} if loss in {"robust", "exo_pair"} else {}
    assert dpo.main(config(base, tmp_path, pairs(), loss=loss, max_steps=1, **smoothing)).metrics["pairs"] == 6.0
