"""What an export says, refuses and never holds; and that it appears whole or not at all."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pairs_logs import pair, version
from trueloop.adapters.export_directory import write_export
from trueloop.datasets.difference import compare_datasets
from trueloop.datasets.export_files import MANIFEST, ExportOrder, export_files, withhold
from trueloop.datasets.export_formats import FORMATS, make_lines
from trueloop.datasets.pairs_dataset import PairsDataset, PairSelection, build_pairs_dataset
from trueloop.datasets.rollback import rollback_order
from trueloop.errors import ConfigurationError, ExportError, UnavailableError
from trueloop.events import DatasetKind, PairSource, PreferencePair, Split
from trueloop.pairs.influence import Backing, capped_weights

SELECTION = PairSelection("billing-support", "billing", 2)


def dataset(*pairs: PreferencePair, split: Split = Split.TRAIN) -> PairsDataset:
    return build_pairs_dataset(pairs, PairSelection("billing-support", "billing", 2, split))


def files(found: PairsDataset, name: str = "trl-preference", **changes: Any) -> dict[str, bytes]:
    return export_files(found, ExportOrder(version(), name, **changes))


def manifest(found: dict[str, bytes]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(found[MANIFEST])
    return content


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_dataset_is_refused_in_every_format(name: str) -> None:
    with pytest.raises(ExportError, match="holds no pair; expected at least one"):
        make_lines(dataset(), name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_pair_of_a_text_and_itself_is_left_out_or_refused(name: str) -> None:
    same = pair(99, chosen="same", rejected="same")
    with pytest.raises(ExportError, match="all 1 pairs compare a text with itself"):
        make_lines(dataset(same), name)
    many = [pair(number, source=PairSource.REWRITE) for number in range(12)]
    assert make_lines(dataset(*many, same), name).left_out == {"equal_texts": 1}


def test_good_completions_alone_teach_no_difference() -> None:
    found = dataset(pair(1, rejected=" "), pair(2, rejected=""))
    with pytest.raises(ExportError, match="2 good and 0 bad completions for trl-unpaired; expected some of each"):
        make_lines(found, "trl-unpaired")


def test_pairs_of_two_rubric_versions_are_never_one_export() -> None:
    mixed = PairsDataset((pair(1), pair(2, rubric_version=3)), "hash")
    with pytest.raises(ExportError, match="1 of billing version 2, 1 of billing version 3; expected one"):
        make_lines(mixed, "trl-preference")


def test_too_few_rows_say_what_was_left_out() -> None:
    with pytest.raises(ExportError, match=r"2 rows for openai-preference; its consumer takes 10 or more: collect more labels \(1 blank_answer\)"):
        make_lines(dataset(pair(1), pair(2), pair(3, rejected=" ")), "openai-preference")


def test_a_pair_that_counts_for_nothing_is_not_exported_where_it_would_count_in_full() -> None:
    made = make_lines(dataset(pair(1), pair(2, weight=0.0)), "trl-preference")
    assert (len(made.lines), made.left_out) == (1, {"no_weight": 1})


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(ExportError, match="'csv'; known formats: trl-preference"):
        files(dataset(pair(1)), "csv")


@pytest.mark.parametrize(("name", "licence"), [("huggingface", None), ("trl-sft", "other")])
def test_only_a_card_has_a_licence(name: str, licence: str | None) -> None:
    with pytest.raises(ExportError, match="expected a licence for 'huggingface' alone"):
        files(dataset(pair(1)), name, licence=licence)


def test_the_manifest_says_what_the_files_are() -> None:
    found = files(dataset(pair(1), pair(2, source=PairSource.REWRITE), pair(3, chosen="a", rejected="a")))
    said = manifest(found)

    assert (said["dataset"], said["version"], said["content_hash"]) == ("billing-support/pairs", 3, version().content_hash)
    assert (said["rubric"], said["format"], said["split"], said["rows"], said["pairs"]) == ({"id": "billing", "version": 2}, "trl-preference", "train", 2, 3)
    assert (said["sources"], said["slices"]) == ({"RATINGS": 2, "REWRITE": 1}, {"locale=de": 2, "locale=fr": 1})
    assert said["left_out"] == {"equal_texts": 1}
    (listed,) = said["files"]
    assert listed == {"path": "train.jsonl", "bytes": len(found["train.jsonl"]), "sha256": hashlib.sha256(found["train.jsonl"]).hexdigest()}
    assert list(found)[-1] == MANIFEST
    assert files(dataset(pair(1), pair(2, source=PairSource.REWRITE), pair(3, chosen="a", rejected="a"))) == found


def test_an_export_works_out_the_weights_once_and_a_part_of_it_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(backings: Sequence[Backing], max_influence: float) -> list[float]:
        asked.append(len(backings))
        return capped_weights(backings, max_influence)

    monkeypatch.setattr("trueloop.datasets.pairs_dataset.capped_weights", counted)
    whole = dataset(pair(1), pair(2, trainable=True, task_id="gold"))
    files(whole)
    assert asked == [2]
    part, _ = withhold(whole, {"gold"})
    files(part)
    assert asked == [2, 1]


@pytest.mark.parametrize("name", ["trl-preference", "trl-reward", "trl-unpaired", "openrlhf-preference", "huggingface"])
def test_the_weights_that_leave_are_those_that_nobody_dominates(name: str) -> None:
    """Five reviewers with a pair each, and one reviewer and one appellant who are behind ninety each: exported they carry what the policy allows."""
    panel = [pair(number, reviewers=[f"r{number}"], appellant=None) for number in range(5)]
    flood = [pair(100 + number, reviewers=["mallory"], appellant=None) for number in range(90)]
    appeals = [pair(200 + number, reviewers=[f"s{number}"], source=PairSource.APPEAL, margin=1.0, appellant="a" * 32) for number in range(90)]
    found = build_pairs_dataset([*panel, *flood, *appeals], PairSelection("billing-support", "billing", 2, max_influence=0.25))
    made = files(found, name, licence="other" if name == "huggingface" else None)
    lines = [json.loads(line) for line in made.get("train.jsonl", made.get("data/train.jsonl", b"")).splitlines()]
    good = [line for line in lines if line.get("label", True)]
    chosen = {line["completion" if name == "trl-unpaired" else "chosen"][0]["content"]: line["weight"] for line in good}

    weights = [chosen[f"Right answer {number}. Thank you."] for number in range(5)]
    mallorys = sum(chosen[f"Right answer {100 + number}. Thank you."] for number in range(90))
    appellants = sum(chosen[f"Right answer {200 + number}. Thank you."] for number in range(90))

    assert weights == [1.0] * 5
    total = sum(chosen.values())
    assert 0 < mallorys <= 0.2500001 * total
    assert appellants == pytest.approx(95 / 3, abs=1e-3), "a quarter of the weight, before mallory was cut"
    influence = manifest(made)["influence"]
    assert (influence["max_influence"], influence["lowered_pairs"], influence["weight_before"]) == (0.25, 180, 185.0)
    assert influence["weight_after"] == pytest.approx(total, abs=1e-4)


def test_a_card_says_what_the_cap_did_and_what_was_repeated() -> None:
    flood = [pair(number, reviewers=["mallory"], appellant=None) for number in range(30)]
    panel = [pair(50 + number, reviewers=[f"r{number}"], appellant=None) for number in range(9)]
    again = pair(90, prompt_hash="prompt-50", chosen=panel[0].chosen, rejected=panel[0].rejected, weight=0.5)
    selection = PairSelection("billing-support", "billing", 2, max_influence=0.25, near_duplicate_above=0.98)
    made = files(build_pairs_dataset([*flood, *panel, again], selection), "huggingface", licence="other")
    page = made["README.md"].decode()
    assert "| largest share of the weight per reviewer or appellant | 0.25, or twice an equal share |" in page
    assert "| pairs whose weight that lowered | 30, in sum from 39 to 12 |" in page
    assert "| left out, said by another task of the prompt | 1 |" in page
    assert (manifest(made)["repeated_pairs"], manifest(made)["pairs"]) == (1, 39)


def test_gold_and_texts_without_consent_stay_behind_whatever_the_split() -> None:
    held_out = [pair(number, split=Split.CALIBRATION, trainable=number != 2) for number in range(4)]

    kept, withheld = withhold(dataset(*held_out, split=Split.CALIBRATION), {"task-3"})

    assert [each.task_id for each in kept.pairs] == ["task-0", "task-1"]
    assert withheld == {"gold": 1, "no_consent": 1}
    found = export_files(kept, ExportOrder(version(), "trl-preference", Split.CALIBRATION, None, withheld))
    assert list(found) == ["calibration.jsonl", MANIFEST]
    assert manifest(found)["withheld"] == withheld


def test_a_training_export_holds_nothing_held_out() -> None:
    assert [each.pair_id for each in dataset(pair(1), pair(2, split=Split.CALIBRATION)).pairs] == ["pair-001"]


def test_a_card_is_no_place_for_markup_of_strangers() -> None:
    hostile = "a|b\n---\n<script>"
    found = files(dataset(pair(1, slices={"locale": hostile})), "huggingface", licence='x"\nlicense: mit')
    page = found["README.md"].decode()

    assert "| locale=a\\|b --- &lt;script> | 1 |" in page
    assert page.count("\n---\n") == 1
    assert page.startswith('---\nlicense: "x\\"\\nlicense: mit"\n')


def test_an_export_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    found = files(dataset(pair(1)))

    write_export(target, found)

    assert {path.name: path.read_bytes() for path in target.iterdir()} == found
    assert list(tmp_path.iterdir()) == [target]
    assert target.stat().st_mode & 0o077 == 0


def test_nothing_is_overwritten_unasked_and_nothing_but_an_export_ever(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write_export(target, files(dataset(pair(1))))
    newer = files(dataset(pair(2)))
    with pytest.raises(ExportError, match="is not empty"):
        write_export(target, newer)
    write_export(target, newer, replace=True)
    assert (target / "train.jsonl").read_bytes() == newer["train.jsonl"]

    (target / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="holds something else than an export"):
        write_export(target, newer, replace=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(target)
    for name in ("file", "link"):
        with pytest.raises(ExportError, match="is no directory"):
            write_export(tmp_path / name, newer, replace=True)
    assert (target / "notes.txt").read_text() == "mine"


def test_a_disk_that_takes_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be written"):
        write_export(tmp_path / "out", {"a.jsonl": b"1", "a.jsonl/b": b"2"})
    assert list(tmp_path.iterdir()) == []


def test_the_difference_of_two_versions_is_told_by_pair() -> None:
    before = dataset(pair(1), pair(2), pair(3))
    after = dataset(pair(1), pair(2, event_id="revised", revises="event-002"), pair(4, source=PairSource.REWRITE))

    found = compare_datasets(before, after)

    assert (found.added.pair_ids, found.removed.pair_ids, found.revised.pair_ids) == (("pair-004",), ("pair-003",), ("pair-002",))
    assert (found.added.sources, found.removed.slices) == ({"REWRITE": 1}, {"locale=de": 1})
    same = compare_datasets(after, after)
    assert (same.added, same.removed, same.revised) == (same.added,) * 3
    assert same.added.pair_ids == ()


def test_held_out_prompts_and_too_much_are_not_rolled_back() -> None:
    from tests.processors.scenario import START

    with pytest.raises(ConfigurationError, match="is no dataset of pairs"):
        rollback_order([], version(kind=DatasetKind.CALIBRATION), reason="r", ordered_by="a", now=START)
    records = [(offset, pair(offset)) for offset in range(10_002)]
    with pytest.raises(ConfigurationError, match="10001 pairs have come since version 3; expected 10000 at most"):
        rollback_order(records, version(end_offset=1, excluded=[]), reason="r", ordered_by="a", now=START)
