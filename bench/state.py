"""`make bench-state`: state in memory against state in RocksDB, what a change costs, how long recovery takes, how much memory it needs.

Both stores are fed the same way: changes of batches of 500 keys as a worker makes them, and the changelog on a real broker read by the same
reader. RocksDB keeps its files over a restart, so beside reading everything it can also open what is there ("warm"). It comes from the package
faust-streaming-rocksdb, which Trueloop does not need. The last row is a whole worker: from start to state recovered.

Every figure is the median of the runs, each in a process of its own; CPU seconds are the process's, reading included. Prints a table and
writes bench/results/state.{md,json}.
"""

import argparse
import asyncio
import hashlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from machine import machine  # the script runs from this folder

from trueloop.adapters.delivery import Delivery
from trueloop.adapters.faust_batch.partition_states import PartitionStates
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.log_positions import LogPositions
from trueloop.adapters.log_reader import read_partitions
from trueloop.config import KafkaSettings, load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.processors.collection import PROCESSOR

BATCH = 500
READS = 20_000
MIB = 1024 * 1024


def main() -> None:
    """Run all cases, or one of them in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=1_000, help="size of a state")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "state")
    parser.add_argument("--case", nargs=3, metavar=("CASE", "STORE", "BROKER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(CASES[given.case[0]](given.case[1], KafkaSettings(bootstrap_servers=given.case[2]), given.keys, given.bytes)))
        return
    stores = list(STORES)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRuntime(Path(folder)) as runtime:
        kafka = KafkaSettings(bootstrap_servers=runtime.endpoints.kafka)
        asyncio.run(_write_changelog(kafka, given.keys, given.bytes))
        cases = [("put", store) for store in stores] + [("recovery", store) for store in stores] + [("worker", "memory")]
        found: dict[tuple[str, str], list[dict[str, float]]] = {case: [] for case in cases}
        for _ in range(given.runs):
            for case in cases:  # by turns, so that what disturbs the machine disturbs all of them
                found[case].append(_in_a_process(case, kafka, given))
    results = {f"{name} {store}": _medians(runs) for (name, store), runs in found.items()}
    _write(results, given, stores)


def states(keys: int, size: int) -> Iterator[dict[bytes, bytes]]:
    """Yield batches of states: keys are hashes, as those of tasks are; values do not compress."""
    for start in range(0, keys, BATCH):
        names = [hashlib.blake2b(b"%d" % number, digest_size=16).hexdigest().encode() for number in range(start, min(start + BATCH, keys))]
        yield {name: (hashlib.shake_128(name).digest(size // 2).hex().encode()) for name in names}


class Memory:
    """The store that the workers use."""

    def __init__(self, _folder: Path) -> None:
        self._states = PartitionStates()

    def put(self, batch: Mapping[bytes, bytes]) -> None:
        self._states.adopt(self._states.planned(0, batch, {"labels/0": 0}))

    def recover(self, records: Iterable[Any]) -> None:
        self._states.recover(0, records)

    def get(self, key: bytes) -> bytes | None:
        return self._states.partition(0).get(key)

    def close(self) -> None:
        """Nothing is on disk."""


class Rocks:
    """RocksDB with the options that faust-streaming takes by default; a batch of changes is one write."""

    def __init__(self, folder: Path) -> None:
        import rocksdb

        self._rocksdb = rocksdb
        options = rocksdb.Options(create_if_missing=True, max_open_files=943_719, write_buffer_size=67_108_864, target_file_size_base=67_108_864)
        options.max_write_buffer_number = 3
        options.table_factory = rocksdb.BlockBasedTableFactory(
            filter_policy=rocksdb.BloomFilterPolicy(10), block_cache=rocksdb.LRUCache(2 * 1024**3), block_cache_compressed=rocksdb.LRUCache(500 * MIB)
        )
        self._db = rocksdb.DB(str(folder / "state.db"), options)

    def put(self, batch: Mapping[bytes, bytes]) -> None:
        write = self._rocksdb.WriteBatch()
        for key, value in batch.items():
            write.put(key, value)
        self._db.write(write)

    def recover(self, records: Iterable[Any]) -> None:
        self.put({record.key: record.value for record in records})

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._db.get(key)
        return found

    def close(self) -> None:
        del self._db


STORES: dict[str, Callable[[Path], Any]] = {"memory": Memory, "rocksdb": Rocks}


def put(store: str, _kafka: KafkaSettings, keys: int, size: int) -> dict[str, float]:
    """Put every state twice, then read some."""
    folder = Path(tempfile.mkdtemp())
    try:
        kept, batches = STORES[store](folder), list(states(keys, size))
        begun = time.process_time()
        for _ in range(2):
            for batch in batches:
                kept.put(batch)
        putting = time.process_time() - begun
        wanted = [key for batch in batches for key in batch][:: max(1, keys // READS)]
        begun = time.process_time()
        if any(kept.get(key) is None for key in wanted):
            raise ValueError("a state that was put is not there")
        reading = time.process_time() - begun
        return {"put_us": putting / (2 * keys) * 1e6, "get_us": reading / len(wanted) * 1e6}
    finally:
        shutil.rmtree(folder)


def recovery(store: str, kafka: KafkaSettings, keys: int, size: int) -> dict[str, float]:
    """Read the changelog into a store; then open it once more, if it lasts."""
    folder = Path(tempfile.mkdtemp())
    try:
        positions = LogPositions(kafka)
        stretches = positions.bounds(positions.partitions([CHANGELOG]))
        before, begun, wall = _resident(), time.process_time(), time.monotonic()
        kept = STORES[store](folder)
        for chunk in read_partitions(kafka, stretches, at_most=5_000):
            kept.recover(chunk.records)
        found = {"cpu_s": time.process_time() - begun, "wall_s": time.monotonic() - wall, "resident_mib": (_resident() - before) / MIB}
        if store != "memory":
            kept.close()
            wall = time.monotonic()
            kept = STORES[store](folder)
            kept.get(next(iter(next(states(1, size)))))
            found["warm_s"] = time.monotonic() - wall
        return found
    finally:
        shutil.rmtree(folder)


def worker(_store: str, kafka: KafkaSettings, _keys: int, _size: int) -> dict[str, float]:
    """Start the app of a worker and wait until its state is recovered, checked against its mark."""
    from trueloop.streams.shell import make_app

    async def run() -> dict[str, float]:
        settings = load_settings(kafka=kafka)
        app = make_app(PROCESSOR, settings, instance="bench")
        begun, wall = time.process_time(), time.monotonic()
        await app.maybe_start()
        await app.tables.recovery.wait_for_stopped(app.tables.recovery.completed)
        found = {"cpu_s": time.process_time() - begun, "wall_s": time.monotonic() - wall, "resident_mib": _resident() / MIB}
        await app.stop()
        return found

    return asyncio.run(run())


CASES: dict[str, Callable[..., dict[str, float]]] = {"put": put, "recovery": recovery, "worker": worker}
CHANGELOG = "trueloop-collection-state-changelog"


async def _write_changelog(kafka: KafkaSettings, keys: int, size: int) -> None:
    from trueloop.streams.shell import needed_topics

    ensure_topics(kafka, needed_topics(PROCESSOR))
    delivery, kept = Delivery(kafka), PartitionStates()
    for number, batch in enumerate(states(keys, size)):
        change = kept.planned(number % 4, batch, {})
        await delivery.send(change.records(CHANGELOG))
        kept.adopt(change)


def _in_a_process(case: tuple[str, str], kafka: KafkaSettings, given: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--keys", str(given.keys), "--bytes", str(given.bytes), "--case", *case, kafka.bootstrap_servers]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _resident() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def _write(results: dict[str, dict[str, float]], given: argparse.Namespace, stores: list[str]) -> None:
    empty: dict[str, float] = {}
    lines = ["| | " + " | ".join(stores) + " |", "|---|" + "---|" * len(stores)]
    rows = {
        "put, CPU µs per key": ("put", "put_us"),
        "get, CPU µs per key": ("put", "get_us"),
        "recovery from the changelog, wall s": ("recovery", "wall_s"),
        "recovery from the changelog, CPU s": ("recovery", "cpu_s"),
        "resident after recovery, MiB": ("recovery", "resident_mib"),
        "warm start from local files, wall s": ("recovery", "warm_s"),
        "a worker from start to recovered, wall s": ("worker", "wall_s"),
        "a worker from start to recovered, CPU s": ("worker", "cpu_s"),
    }
    for title, (case, figure) in rows.items():
        cells = [results.get(f"{case} {store}", empty).get(figure) for store in stores]
        lines.append(f"| {title} | " + " | ".join("-" if cell is None else f"{cell:g}" for cell in cells) + " |")
    text = "\n".join(lines)
    print(text)
    head = f"# State: memory and RocksDB\n\n{given.keys:,} states of {given.bytes:,} bytes; medians of {given.runs} runs.\n\n{machine()}\n\n"
    given.out.parent.mkdir(exist_ok=True)
    given.out.with_suffix(".md").write_text(f"{head}{text}\n", encoding="utf-8")
    content = {"machine": machine(), "keys": given.keys, "bytes": given.bytes, "runs": given.runs, "results": results}
    given.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
