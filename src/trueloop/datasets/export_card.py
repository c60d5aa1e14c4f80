"""The card of a dataset on the Hugging Face hub: front matter that its loader reads, and a page for people."""

import json
from collections.abc import Mapping
from typing import Any

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
_MESSAGES = "    list:\n    - name: role\n      dtype: string\n    - name: content\n      dtype: string"
_SHOWN_SLICES = 50


def card(manifest: Mapping[str, Any], licence: str) -> str:
    """Return the card of an export in the format 'huggingface'. Names come from strangers, so they are quoted in it."""
    return _front_matter(manifest, licence) + _page(manifest)


def _front_matter(manifest: Mapping[str, Any], licence: str) -> str:
    split = manifest["split"]
    lines = [
        "---",
        f"license: {json.dumps(licence)}",  # a JSON string is a YAML one
        f"pretty_name: {json.dumps(manifest['dataset'] + ' version ' + str(manifest['version']))}",
        "tags:\n- preference\n- human-feedback\n- trueloop",
        f"size_categories:\n- {json.dumps(next((name for limit, name in _SIZES if manifest['rows'] < limit), 'n>10M'))}",
        f"configs:\n- config_name: default\n  data_files:\n  - split: {split}\n    path: data/{split}.jsonl",
        "dataset_info:\n  features:",
        *(f"  - name: {name}\n{_MESSAGES}" for name in ("prompt", "chosen", "rejected")),
        *(f"  - name: {name}\n    dtype: float64" for name in ("weight", "margin", "p_correct")),
        "  - name: source\n    dtype: string",
        "  - name: slices\n    list:\n    - name: name\n      dtype: string\n    - name: value\n      dtype: string",
        "  - name: outcomes\n    list:\n    - name: dimension\n      dtype: string\n    - name: outcome\n      dtype: int64",
        "  - name: pair_id\n    dtype: string",
        "---",
    ]
    return "\n".join(lines) + "\n"


def _page(manifest: Mapping[str, Any]) -> str:
    rubric, slices, influence = manifest["rubric"], list(manifest["slices"].items()), manifest["influence"]
    facts = {
        "dataset": f"{manifest['dataset']} version {manifest['version']}",
        "content hash": manifest["content_hash"],
        "parent": manifest["parent"] or "none",
        "changelog": manifest["changelog"],
        "frozen": manifest["frozen_at"],
        "rubric": f"{rubric['id']} version {rubric['version']}",
        "range of the log": f"`{manifest['topic']}` up to offset {manifest['end_offset']}",
        "split": manifest["split"],
        "rows": manifest["rows"],
        "left out, said by another task of the prompt": manifest["repeated_pairs"],
        "largest share of the weight per reviewer or appellant": f"{influence['max_influence']:g}, or twice an equal share",
        "pairs whose weight that lowered": f"{influence['lowered_pairs']}, in sum from {influence['weight_before']:g} to {influence['weight_after']:g}",
    }
    left_out = {f"left out, {name}": count for name, count in {**manifest["withheld"], **manifest["left_out"]}.items()}
    sections = [
        "# " + _cell(facts["dataset"]),
        "Pairs of completions of one prompt, of which people found `chosen` the better. `weight` says what a pair counts (1 is a full pair), `p_correct` how\n"
        "probable it is that the order is right (null when nobody compared the two), `outcomes` how the two compare on each dimension of the rubric:\n"
        "1 when `chosen` is better, -1 when `rejected` is, 0 for a tie.",
        _table(("what", "value"), [*facts.items(), *left_out.items()]),
        "## Agreement of the reviewers at the freeze",
        _table(("dimension", "Krippendorff's alpha", "units"), [(a["dimension"], _shown(a["alpha"]), a["n_units"]) for a in manifest["agreement"]]),
        "## Pairs by source of evidence",
        _table(("source", "pairs"), list(manifest["sources"].items())),
        "## Pairs by slice",
        _table(("slice", "pairs"), slices[:_SHOWN_SLICES]),
    ]
    if len(slices) > _SHOWN_SLICES:
        sections.append(f"and {len(slices) - _SHOWN_SLICES} more, which `manifest.json` lists.")
    return "\n" + "\n\n".join(sections) + "\n"


def _shown(alpha: float | None) -> str:
    return "undefined" if alpha is None else f"{alpha:.3f}"


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return "Nothing is known."
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in [columns, ("---",) * len(columns), *rows])


def _cell(value: Any) -> str:
    """Return a value that stays in its cell, and is no markup."""
    text = " ".join(str(value).split()).replace("\\", "\\\\")
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
