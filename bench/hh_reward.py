"""`make bench-hh-reward`: how often our reward model puts HH-RLHF's pairs in the order that people chose, on conversations that it never saw.

Three folds by the conversation's opening: on two of them a tiny model learns to write the answers that people chose (there is nothing to
download), and then, by `trainers/reward.py` with its defaults, to tell the chosen from the rejected ones; the third is scored. So every pair is scored by
a model that saw nothing of its conversation. Prints, and writes bench/results/hh_reward.{md,json}. A fold that is done is kept under build/hh-reward.
The data are not part of the repository: `--data` names the file, by default that beside it.
"""

import argparse
import gzip
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from machine import TRAINING, machine
from trueloop.trainers import reward, tiny_lm
from trueloop.trainers.rewards.reward_model import RewardModel

from trueloop.errors import ConfigurationError
from trueloop.events import unit_interval
from trueloop.replay.hh_rlhf import parse_row
from trueloop.replay.item import Target, UnusableRow
from trueloop.report.wording import estimate
from trueloop.sampling.splits import cluster_of
from trueloop.statistics import hajek

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "hh_rlhf_harmless_base_test.a.jsonl.gz"
WORK = Path("build/hh-reward")
FOLDS, CONTEXT, PASSES, BATCH = 3, 1024, 2, 16
THREADS = 1
Pair = dict[str, Any]


def main() -> None:
    """Train what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="HH-RLHF pairs, JSON lines, gzipped")
    parser.add_argument("--folds", type=int, default=FOLDS, help="folds that are scored, 1 to 3: each takes some six CPU minutes")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "hh_reward")
    options = parser.parse_args()
    if not options.data.exists():
        parser.error(f"{options.data} is not there; name pairs of HH-RLHF, gzipped JSON lines, with --data")
    with gzip.open(options.data, "rt", encoding="utf-8") as lines:
        pairs, unusable = read_pairs([json.loads(line) for line in lines])
    folds = [fold(pairs, number) for number in range(options.folds)]
    text = page(pairs, unusable, folds)
    print(text)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    told = {"pairs": len(pairs), "unusable": unusable, "folds": folds, "machine": machine(*TRAINING)}
    options.out.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def read_pairs(rows: Sequence[Any]) -> tuple[list[Pair], dict[str, int]]:
    """Return the pairs as trainers read them, with the conversation and fold of each, and how many rows are none, by reason."""
    pairs, unusable = [], Counter[str]()
    for number, row in enumerate(rows):
        try:
            item = parse_row(row, Target("bench", datetime(2026, 1, 1, tzinfo=UTC)))
        except (UnusableRow, ConfigurationError) as error:
            unusable[str(error) if isinstance(error, UnusableRow) else "no dialogue"] += 1
            continue
        if item.ambiguous:
            unusable["both answers are the same"] += 1
            continue
        chosen, other = item.verdicts[0].preferred, item.trace.alternatives[0].completion
        rejected = item.trace.completion if other == chosen else other
        cluster = cluster_of(item.trace.messages, {}, "conversation")
        prompt = [{"role": message.role.value.lower(), "content": message.content} for message in item.trace.messages]
        told = {"prompt": prompt, "chosen": chosen, "rejected": rejected, "pair_id": f"row-{number}", "slices": item.trace.slices}
        pairs.append(told | {"cluster": cluster, "fold": int(unit_interval("hh-reward fold", cluster) * FOLDS)})
    return pairs, dict(unusable)


def fold(pairs: Sequence[Pair], number: int) -> dict[str, Any]:
    """Return the scores of a fold's pairs by a model that was trained on the others, and what that cost; from its file if it is done."""
    path = WORK / f"fold-{number}.json"
    if not path.exists():
        found = _trained_fold([pair for pair in pairs if pair["fold"] != number], [pair for pair in pairs if pair["fold"] == number], number)
        path.write_text(json.dumps(found), encoding="utf-8")
        print(f"fold {number}: accuracy {found['metrics']['accuracy_here']:.3f}, {found['cpu_s']:.0f} CPU s", flush=True)
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def _trained_fold(train: Sequence[Pair], test: Sequence[Pair], number: int) -> dict[str, Any]:
    place = WORK / f"run-{number}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    begun = time.process_time()
    corpus = _fitting([(pair["prompt"], pair["chosen"]) for pair in train if pair["chosen"].strip()])
    steps = PASSES * len(corpus) // BATCH
    base = tiny_lm.Config(output_dir=place / "base", max_length_tokens=CONTEXT, steps=steps, batch_size=BATCH, threads=THREADS, seed=number)
    tiny_lm.main(base, corpus)
    (place / "rows.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in train), encoding="utf-8")
    places = {"model_dir": place / "base", "dataset_file": place / "rows.jsonl", "output_dir": place / "reward"}
    report = reward.main(reward.Config(**places, max_length_tokens=CONTEXT, seed=number, threads=THREADS))
    model = RewardModel.load(place / "reward")
    prompts = [pair["prompt"] for pair in test]
    scores = [model.score(prompts, [pair[side] for pair in test]) for side in ("chosen", "rejected")]
    seen = {pair["pair_id"]: _hit(better, worse) for pair, better, worse in zip(test, *scores, strict=True)}
    known = [hit for hit in seen.values() if hit is not None]
    cost = time.process_time() - begun
    shutil.rmtree(place)
    metrics = report.metrics | {"accuracy_here": sum(known) / len(known), "trained_on": len(train)}
    return {"fold": number, "hits": seen, "cpu_s": cost, "stopped_by": report.stopped_by, "metrics": metrics}


def _fitting(corpus: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """Leave out conversations so long that they might not fit: a word outside the vocabulary is as many tokens as it has bytes."""
    return [(prompt, answer) for prompt, answer in corpus if sum(len(turn["content"]) for turn in prompt) + len(answer) < 2 * CONTEXT]


def _hit(chosen: float | None, rejected: float | None) -> float | None:
    if chosen is None or rejected is None:
        return None
    return 0.5 if chosen == rejected else float(chosen > rejected)


def page(pairs: Sequence[Pair], unusable: dict[str, int], folds: Sequence[dict[str, Any]]) -> str:
    """Return the page."""
    hits = {name: hit for each in folds for name, hit in each["hits"].items()}
    pairs = [pair for pair in pairs if pair["pair_id"] in hits]
    shorter = {pair["pair_id"]: _hit(-float(len(pair["chosen"])), -float(len(pair["rejected"]))) for pair in pairs}
    turns = {name: [pair for pair in pairs if pair["slices"]["turns"] == name] for name in ("one", "several")}
    rows = [
        ("reward model", pairs, hits),
        ("reward model, one turn", turns["one"], hits),
        ("reward model, several turns", turns["several"], hits),
        ("the shorter answer", pairs, shorter),
    ]
    lines = ["| order by | pairs | conversations | pair accuracy, 95 % interval |", "| --- | ---: | ---: | ---: |"]
    for name, of, known in rows:
        told = hajek([known.get(pair["pair_id"]) for pair in of], [1.0] * len(of), clusters=[pair["cluster"] for pair in of], scale=(0.0, 1.0))
        cell = estimate({"value": told.value, "low": told.ci_low, "high": told.ci_high, "reason": None})
        lines.append(f"| {name} | {told.n} | {told.n_clusters} | {cell} |")
    by_fold = ", ".join(f"{each['metrics']['accuracy_here']:.3f}" for each in folds)
    seconds = sum(each["cpu_s"] for each in folds)
    left_out = ", ".join(f"{reason} {count}" for reason, count in sorted(unusable.items())) or "none"
    unscored = sum(hit is None for hit in hits.values())
    return "\n".join(
        (
            "# Reward model on HH-RLHF",
            "",
            "By `make bench-hh-reward`: part of the harmless-base test split of Bai et al. 2022 (arXiv:2204.05862; MIT). Three folds by the opening of the",
            "conversation; each pair is scored by a model that saw nothing of its conversation. The model is tiny and was never shown any text but that of the",
            f"other folds, of which it learnt to write the chosen answers ({PASSES} passes); then `trainers/reward.py` with its defaults.",
            "Nothing was tuned. Equal scores count half. Intervals are Wilson's over conversations; they take the three models as given.",
            "",
            *lines,
            "",
            f"Folds scored: {len(folds)} of {FOLDS}, accuracy {by_fold}. Rows that are no pair: {left_out}. Pairs too long for the model: {unscored}.",
            f"{seconds:.0f} CPU s in all.",
            "",
            machine(*TRAINING),
            "",
        )
    )


if __name__ == "__main__":
    main()
