"""Counts records and measures the process between the first and the last of them. Imports nothing that is not in Python."""

import json
import os
import resource
import sys
import time

BOOTSTRAP, TOPIC = os.environ.get("BENCH_BOOTSTRAP", ""), os.environ.get("BENCH_TOPIC", "")
SCHEMA = os.environ.get("BENCH_SCHEMA", "")
"""Path of the schema of the traces."""
RECORDS = int(os.environ.get("BENCH_RECORDS", "0"))
RATE = float(os.environ.get("BENCH_RATE", "0"))
"""Share of the traces that is sampled."""
TRAIL = os.environ.get("BENCH_TRAIL", "")
"""File that gets a line with time, records so far and resident MiB about every tenth of a second; none by default."""
CORE = os.environ.get("BENCH_CORE", "")
"""Number of the core that the process may use; any when empty."""
HEADER = 5
"""Bytes before the Avro record: magic byte and schema id."""


class Meter:
    """CPU time of the whole process, threads included, and wall time, from the first call of `add` until `RECORDS` were counted."""

    def __init__(self) -> None:
        self.seen = 0
        self._cpu = self._wall = self._noted = 0.0
        if CORE:
            os.sched_setaffinity(0, {int(CORE)})

    def add(self, records: int) -> bool:
        """Count records; return whether it is over. The first call starts the clock and its records do not count."""
        if not self._wall:
            self._cpu, self._wall = _cpu(), time.perf_counter()
            return False
        self.seen += records
        if TRAIL and time.time() - self._noted > 0.1:
            self._noted = time.time()
            with open(TRAIL, "a") as file, open("/proc/self/statm") as memory:
                resident = int(memory.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
                file.write(f"{self._noted:.3f} {self.seen} {resident:.1f}\n")
        return self.seen >= RECORDS

    def tell(self) -> None:
        """Print the result for the parent."""
        cpu, wall = _cpu() - self._cpu, time.perf_counter() - self._wall
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Faust sends sys.stdout to its log.
        out = sys.__stdout__ or sys.stdout
        print(
            json.dumps({"records": self.seen, "cpu_us": 1e6 * cpu / self.seen, "wall_us": 1e6 * wall / self.seen, "rss_mib": rss / 1024}), file=out, flush=True
        )

    def end(self) -> None:
        """Print the result and end the process at once: frameworks would first wait for what nobody needs any more."""
        self.tell()
        os._exit(0)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
