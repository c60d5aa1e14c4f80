"""The files of an export: the rows, a manifest that says what they are, and for the Hugging Face hub a card."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

from trueloop.datasets.export_card import card
from trueloop.datasets.export_formats import find_format, make_lines
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.errors import ExportError
from trueloop.events import DatasetVersion, PreferencePair, Split

MANIFEST = "manifest.json"
MANIFEST_FORMAT = "trueloop-export/1"
HUB = "huggingface"


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What is to be exported: a version, which split of its range, in which format. `licence` is an identifier that the Hugging Face hub knows, such
    as 'apache-2.0' or 'other'; only its card needs one. `withheld` says how many pairs stay behind, by reason."""

    version: DatasetVersion
    format: str
    split: Split = Split.TRAIN
    licence: str | None = None
    withheld: Mapping[str, int] | None = None


def export_files(dataset: PairsDataset, order: ExportOrder) -> dict[str, bytes]:
    """Return the files of an export by their relative paths, the manifest last. The same order gives the same bytes.

    Raises:
        ExportError: as `make_lines` says; or the card would name no licence.
    """
    chosen = find_format(order.format)
    if (order.format == HUB) != (order.licence is not None):
        raise ExportError(
            f"format {order.format!r} with licence {order.licence!r}; expected a licence for {HUB!r} alone: "
            "only who owns the texts can say how they may be used"
        )
    made = make_lines(dataset, order.format)
    rows = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in made.lines).encode()
    split = order.split.value.lower()
    files = {f"data/{split}.jsonl" if order.format == HUB else f"{split}.jsonl": rows}
    manifest = _manifest(dataset, order, made.left_out, len(made.lines)) | {"consumer": chosen.consumer}
    if order.licence is not None:
        files["README.md"] = card(manifest, order.licence).encode()
    manifest["files"] = [{"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in sorted(files.items())]
    files[MANIFEST] = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    return files


def withhold(dataset: PairsDataset, gold_tasks: Collection[str]) -> tuple[PairsDataset, dict[str, int]]:
    """Return a dataset without what never leaves the house, and how many pairs that were, by reason: pairs of tasks whose answer is known, which would
    tell it, and pairs whose subjects did not consent to training, whatever the split."""
    withheld: Counter[str] = Counter()
    kept: list[PreferencePair] = []
    for pair in dataset.pairs:
        if pair.task_id in gold_tasks:
            withheld["gold"] += 1
        elif not pair.trainable:
            withheld["no_consent"] += 1
        else:
            kept.append(pair)
    return replace(dataset, pairs=tuple(kept)), dict(sorted(withheld.items()))


def _manifest(dataset: PairsDataset, order: ExportOrder, left_out: Mapping[str, int], rows: int) -> dict[str, Any]:
    version = order.version
    return {
        "manifest": MANIFEST_FORMAT,
        "dataset": version.name,
        "version": version.version,
        "content_hash": version.content_hash,
        "parent": version.parent,
        "changelog": version.changelog,
        "application": version.application,
        "frozen_at": version.occurred_at.isoformat(),
        "topic": version.topic,
        "end_offset": version.end_offset,
        "rubric": {"id": version.rubric_id, "version": version.rubric_version},
        "agreement": [known.model_dump(mode="json") for known in version.agreement],
        "format": order.format,
        "split": order.split.value.lower(),
        "rows": rows,
        "pairs": len(dataset.pairs),
        "repeated_pairs": dataset.repeated,
        "influence": _influence(dataset),
        "left_out": dict(left_out),
        "withheld": dict(order.withheld or {}),
        "sources": dict(sorted(Counter(pair.source.value for pair in dataset.pairs).items())),
        "slices": slice_counts(dataset),
    }


def _influence(dataset: PairsDataset) -> dict[str, Any]:
    """Return what the cap on the influence of one person did: the largest share that it allows, of how many pairs it lowered the weight, and the sum of
    weights before and after."""
    capped, own = dataset.weights, {pair.pair_id: pair.weight for pair in dataset.pairs}
    return {
        "max_influence": dataset.max_influence,
        "lowered_pairs": sum(capped[pair_id] < weight for pair_id, weight in own.items()),
        "weight_before": round(fsum(own.values()), 6),
        "weight_after": round(fsum(capped.values()), 6),
    }


def slice_counts(dataset: PairsDataset) -> dict[str, int]:
    """Return how many pairs have each value of each slice, by 'name=value', in order of name."""
    return dict(sorted(Counter(f"{name}={value}" for pair in dataset.pairs for name, value in pair.slices.items()).items()))
