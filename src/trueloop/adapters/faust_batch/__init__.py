"""Batches inside Faust: one fetch of one partition is one Faust event.

Faust spends two asyncio tasks on each message (about 70 µs); over batches it spends them once per some hundred records. Assignor, tables,
recovery and rebalancing stay Faust's own. The transport overrides private methods, so the versions of faust-streaming, mode-streaming and
aiokafka are pinned exactly, and a test compares the overridden sources with those it was written against.
"""

from trueloop.adapters.faust_batch.app import BatchApp, make_batch_app
from trueloop.adapters.faust_batch.batch import Batch
from trueloop.adapters.faust_batch.partition_states import KeptStates
from trueloop.adapters.faust_batch.schema import BatchSchema
from trueloop.adapters.faust_batch.table import StateTable

__all__ = ["Batch", "BatchApp", "BatchSchema", "KeptStates", "StateTable", "make_batch_app"]
