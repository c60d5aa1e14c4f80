"""The mark of a changelog finds every loss, and nothing else."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st
from trueloop.streams.rerun import RerunStates
from trueloop.streams.state_guard import fault_of, input_partitions

from trueloop.adapters.delivery import Outgoing
from trueloop.adapters.faust_batch.partition_states import MARK_KEY, PartitionStates, StateMark
from trueloop.adapters.log_reader import PastRecord
from trueloop.processors.collection import PROCESSOR as COLLECTION
from trueloop.processors.trigger import PROCESSOR as TRIGGER

KEYS = st.sampled_from([b"a", b"b", b"ab", b"c", "é".encode()])
VALUES = st.one_of(st.none(), st.binary(max_size=6))
BATCHES = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=6)


def written(states: PartitionStates, batches: Sequence[Mapping[bytes, bytes | None]]) -> list[Outgoing]:
    """Make batches durable one after the other; return the changelog."""
    changelog: list[Outgoing] = []
    for number, changes in enumerate(batches):
        change = states.planned(0, {k: v for k, v in changes.items() if v is not None or k in states.partition(0)}, {"traces/0": number + 1})
        changelog += change.records("changelog")
        states.adopt(change)
    return changelog


def read(changelog: Sequence[Outgoing]) -> PartitionStates:
    states = PartitionStates()
    states.recover(0, [PastRecord(record.key, record.value, (), offset, 0, 0) for offset, record in enumerate(changelog)])
    return states


@given(BATCHES)
def test_what_was_written_is_recovered_and_agrees_with_its_mark(batches: list[dict[bytes, bytes | None]]) -> None:
    states = RerunStates(1)
    recovered = read(written(states, batches))
    assert recovered.partition(0) == states.partition(0)
    assert recovered.agrees(0)
    assert recovered.digest(0) == states.digest(0)
    assert recovered.mark(0) == states.mark(0)
    assert recovered.mark(0) == StateMark(len(states.partition(0)), states.digest(0), {"traces/0": len(batches)})


@given(BATCHES, st.data())
def test_compaction_is_no_loss(batches: list[dict[bytes, bytes | None]], data: st.DataObject) -> None:
    changelog = written(RerunStates(1), batches)
    newest = {record.key: place for place, record in enumerate(changelog)}
    superseded = [place for place, record in enumerate(changelog) if newest[record.key] != place]
    removed = set(data.draw(st.lists(st.sampled_from(superseded), unique=True)) if superseded else ())
    recovered = read([record for place, record in enumerate(changelog) if place not in removed])
    assert recovered.agrees(0)
    assert recovered.partition(0) == read(changelog).partition(0)


@given(BATCHES, st.data())
def test_lost_records_are_found(batches: list[dict[bytes, bytes | None]], data: st.DataObject) -> None:
    changelog = written(RerunStates(1), batches)
    places = [place for place, record in enumerate(changelog) if record.key != MARK_KEY]
    lost = set(data.draw(st.lists(st.sampled_from(places), unique=True)) if places else ())
    recovered = read([record for place, record in enumerate(changelog) if place not in lost])
    assert recovered.agrees(0) == (recovered.partition(0) == read(changelog).partition(0))


@given(st.dictionaries(KEYS, st.binary(max_size=6)), st.randoms())
def test_the_sum_is_that_of_the_states_and_not_of_their_history(content: dict[bytes, bytes], rng: object) -> None:
    straight = RerunStates(1)
    written(straight, [content])
    roundabout = RerunStates(1)
    written(roundabout, [dict.fromkeys(content, b"other"), dict.fromkeys(content), *({key: value} for key, value in reversed(content.items()))])
    assert straight.digest(0) == roundabout.digest(0)
    if content:
        written(straight, [{next(iter(content)): b"changed value"}])
        assert straight.digest(0) != roundabout.digest(0)


def test_records_after_the_mark_belong_to_a_batch_that_is_read_again() -> None:
    changelog = written(RerunStates(1), [{b"a": b"1"}, {b"b": b"2"}])
    cut = read(changelog[:-1])
    assert cut.agrees(0)
    assert cut.partition(0) == {b"a": b"1", b"b": b"2"}
    assert cut.mark(0) == StateMark(1, read(changelog[:2]).digest(0), {"traces/0": 1})
    # The next batch starts from what is there, half-written batch included.
    again = cut.planned(0, {b"b": b"2"}, {"traces/0": 2})
    assert again.mark == read(changelog).mark(0)


def test_the_states_of_a_lane_follow_what_is_adopted_into_an_empty_partition() -> None:
    states = RerunStates(1)
    view = states.partition(0)
    written(states, [{b"a": b"1"}])
    assert view == {b"a": b"1"}


def test_an_offset_of_a_mark_never_falls() -> None:
    states = RerunStates(1)
    written(states, [{}, {}, {}])
    assert states.planned(0, {}, {"traces/0": 1, "labels/0": 4}).mark.offsets == {"traces/0": 3, "labels/0": 4}


def test_no_state_has_the_key_of_the_mark() -> None:
    try:
        MARK_KEY.decode()
    except UnicodeDecodeError:
        return
    raise AssertionError("a task id could be the key of the mark")


def test_garbled_marks_are_none() -> None:
    for data in (None, b"", b"{}", b"[]", b'{"keys": 1, "digest": "zz", "offsets": {}, "loss_accepted": false}', b'{"keys": 1, "digest": "0f", "offsets": []}'):
        assert StateMark.load(data) is None


def test_faults() -> None:
    mark = StateMark(3, 7, {"labels/0": 10})
    whole = {("labels", 0): 10, ("review-queue", 0): 0}
    assert fault_of(mark, agrees=True, keys=3, committed=whole) is None
    assert fault_of(mark, agrees=True, keys=3, committed={}) is None
    assert fault_of(mark, agrees=True, keys=3, committed={("labels", 0): 9}) is None
    for fault in (
        fault_of(mark, agrees=False, keys=2, committed=whole),
        fault_of(mark, agrees=True, keys=3, committed={("labels", 0): 11}),
        fault_of(mark, agrees=True, keys=3, committed={("review-queue", 0): 1}),
        fault_of(None, agrees=True, keys=0, committed=whole),
        fault_of(StateMark(3, 7, {"labels/0": 10}, loss_accepted=True), agrees=True, keys=3, committed=whole),
    ):
        assert fault is not None


def test_inputs_are_rerun_in_the_order_that_they_refer_to_each_other() -> None:
    assert input_partitions(COLLECTION, 2) == [("review-queue", 2), ("labels", 2), ("truths", 2), ("gold", 2), ("labels.retry", 2)]
    assert [name for name, _ in input_partitions(TRIGGER, 0)] == [topic.name for topic in TRIGGER.inputs]
