"""Rubric and policy files: what is shipped is right, and what is wrong says which key, what was given and what is allowed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trueloop.adapters.documents import LIBRARY, load_policy, load_rubric, shipped
from trueloop.errors import ConfigurationError
from trueloop.rubrics import Governance, Policy, Rubric, content_hash
from trueloop.rubrics.documents import parse_document
from trueloop.rubrics.publication import check_policy, is_new, policy_event, rubric_event

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUBRIC_TEXT = (LIBRARY / "rubrics" / "billing-support.toml").read_text()
POLICY_TEXT = (LIBRARY / "policies" / "billing-support.toml").read_text()


def test_the_library_is_what_it_is_said_to_be() -> None:
    assert set(shipped(Rubric)) == set(shipped(Policy)) == {"alpaca-eval", "billing-support", "hh-harmless", "pandalm"}
    assert {path.parent.name for path in LIBRARY.rglob("*.toml")} == {"rubrics", "policies"}


@pytest.mark.parametrize("name", shipped(Policy))
def test_every_shipped_policy_fits_its_shipped_rubric(name: str) -> None:
    policy = load_policy(name)
    rubric = load_rubric(policy.rubric.id)
    assert not [warning for warning in check_policy(policy, rubric) if "not gated" in warning]
    assert (policy.id, rubric.id) == (name, name)
    Governance([rubric_event(rubric, NOW)], [policy_event(policy, NOW)])


def test_the_billing_rubric_says_what_the_demo_needs() -> None:
    rubric = load_rubric("billing-support")
    floors = {dimension.name: dimension.floor for dimension in rubric.dimensions}
    assert floors == {"numeric_accuracy": 0.95, "policy": 0.92, "tone": 0.88}
    assert rubric.vetoes == ("policy",)
    assert rubric.tie_break == ("policy", "numeric_accuracy", "tone")
    assert all(dimension.examples for dimension in rubric.dimensions)
    assert check_policy(load_policy("billing-support"), rubric) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate = 0.9", "rate = 1.5", "sampling.rate = 1.5: it should be less than or equal to 1"),
        ("labels_needed", "label_needed", "sampling.label_needed is no key here; known keys: .*Did you mean 'labels_needed'"),
        ('"RATING"', '"CRITIQUE"', "sampling.form = \"CRITIQUE\": it should be 'RATING', 'PAIRWISE', 'SPAN' or 'REWRITE'"),
        ("[sampling]", "[sampling", r"is not TOML: .*line \d+"),
        ('application = "billing-support"\n', "", "application is missing"),
        ("min_items = 100", 'min_items = "many"', 'gate.min_items = "many": it should be a valid integer'),
        ('dimension = "tone"', 'dimension = "policy"', "gate: gate.dimensions names a dimension twice with the same evaluator"),
    ],
)
def test_a_wrong_policy_says_what_is_wrong(old: str, new: str, said: str) -> None:
    assert old in POLICY_TEXT
    with pytest.raises(ConfigurationError, match=said) as caught:
        parse_document(Policy, POLICY_TEXT.replace(old, new, 1) if "dimension =" not in old else POLICY_TEXT.replace(old, new), "mine.toml")
    assert "mine.toml" in str(caught.value)


def test_a_wrong_rubric_names_the_item_counted_from_one() -> None:
    with pytest.raises(ConfigurationError, match=r"dimensions\[1\]\.flor is no key here.*Did you mean 'floor'"):
        parse_document(Rubric, RUBRIC_TEXT.replace("floor = 0.95", "flor = 0.95"), "mine.toml")
    with pytest.raises(ConfigurationError, match="vetoes names 'polcy', which is no dimension"):
        parse_document(Rubric, RUBRIC_TEXT.replace('vetoes = ["policy"]', 'vetoes = ["polcy"]'), "mine.toml")


def test_a_fault_in_an_item_is_told_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_document(Rubric, RUBRIC_TEXT.replace("max = 1, level", "maximum = 1, level", 1), "mine.toml")
    assert len(str(caught.value).splitlines()) == 3  # headline, the missing key, the unknown one


def test_a_misspelt_name_is_suggested_and_files_win(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'billing-support'"):
        load_rubric("bilingsupport")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load_rubric(tmp_path)
    own = tmp_path / "own.toml"
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_rubric(own)


def test_a_version_never_changes_once_published() -> None:
    rubric = load_rubric("pandalm")
    published = [rubric_event(rubric, NOW)]
    assert is_new(rubric, [])
    assert not is_new(rubric, published)
    changed = rubric.model_copy(update={"title": "other"})
    with pytest.raises(ConfigurationError, match="a version never changes once published; raise version to 2"):
        is_new(changed, published)
    second = changed.model_copy(update={"version": 2})
    assert is_new(second, published)
    with pytest.raises(ConfigurationError, match="below the newest published, 3"):
        is_new(second, [*published, rubric_event(rubric.model_copy(update={"version": 3}), NOW)])
    assert is_new(load_rubric("hh-harmless"), published)


def test_the_same_content_has_the_same_identity_whenever_it_is_published() -> None:
    policy = load_policy("pandalm")
    first, again = policy_event(policy, NOW), policy_event(policy, NOW + timedelta(days=1))
    assert first.event_id == again.event_id
    assert first.content_hash == content_hash(policy)
    assert Policy.model_validate_json(first.document) == policy


def test_a_policy_has_to_fit_its_rubric() -> None:
    policy, rubric = load_policy("billing-support"), load_rubric("billing-support")
    with pytest.raises(ConfigurationError, match="given 'pandalm' version 1"):
        check_policy(policy, load_rubric("pandalm"))
    less = rubric.model_copy(update={"dimensions": rubric.dimensions[:2]})
    with pytest.raises(ConfigurationError, match=r"gate.dimensions\[3\].dimension = 'tone' is no dimension .* expected one of numeric_accuracy, policy"):
        check_policy(policy, less)
    ungated = policy.model_copy(update={"gate": policy.gate.model_copy(update={"dimensions": policy.gate.dimensions[:2]})})
    assert check_policy(ungated, rubric) == ("dimension 'tone' is not gated: a candidate may lose on it and still be released",)
