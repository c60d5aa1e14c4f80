"""What a worker asks of the C library."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest
from trueloop.streams import heap

ASK = "import ctypes, sys; from trueloop.streams.heap import LARGEST_FROM_HEAP; sys.exit(not ctypes.CDLL(None).mallopt(-3, LARGEST_FROM_HEAP))"


@pytest.mark.parametrize(("taken", "asked"), [(1, [(-3, heap.LARGEST_FROM_HEAP), (-1, heap.KEPT_FREE)]), (0, [(-3, heap.LARGEST_FROM_HEAP)])])
def test_the_end_of_the_heap_is_kept_only_where_buffers_come_from_it(monkeypatch: pytest.MonkeyPatch, taken: int, asked: list[tuple[int, int]]) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(name: int, value: int) -> int:
        calls.append((name, value))
        return taken

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(mallopt=mallopt))
    heap.keep_freed_memory()
    assert calls == asked


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def library(name: object) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace()

    monkeypatch.setattr(ctypes, "CDLL", library)
    heap.keep_freed_memory()
    assert asked == [None]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_glibc_takes_the_value() -> None:
    """In a process of its own, which keeps the setting to itself."""
    assert subprocess.run([sys.executable, "-c", ASK], check=False, timeout=60).returncode == 0
