"""Where the state of a processor is kept."""

from trueloop.processors.processor import Processor

GROUP_PREFIX = "trueloop-"
TABLE = "state"


def group_of(processor: Processor) -> str:
    """Return the consumer group of a processor, without the deployment's prefix."""
    return GROUP_PREFIX + processor.name


def changelog_of(processor: Processor) -> str:
    """Return the changelog of a processor's state, without the deployment's prefix."""
    return f"{group_of(processor)}-{TABLE}-changelog"


def is_whole(processor: Processor) -> bool:
    """Return whether one worker has to read everything: it asks for it, or its state is joined over topics that cannot be divided alike."""
    return processor.key is not None and (processor.whole or len({topic.partitions for topic in processor.inputs}) > 1)


def state_partitions(processor: Processor) -> int:
    """Return the partitions of a processor's state."""
    return 1 if is_whole(processor) else processor.inputs[0].partitions


def is_ordered(processor: Processor) -> bool:
    """Return whether it matters in which order a processor reads different inputs: they meet in one state.

    A `whole` processor has a state per key and a view that does not ask for the order.
    """
    return not processor.whole and state_partitions(processor) == 1
