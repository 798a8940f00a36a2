"""How a worker's memory is divided."""

import pytest

from headrace.archiver.memory_budget import MIB, QUEUED_MESSAGE_BYTES, MemoryBudget


@pytest.mark.parametrize("memory_mib", [64, 256, 4096])
@pytest.mark.parametrize("partitions", [1, 4, 64])
def test_all_that_can_be_there_at_once_fits_into_the_budget(memory_mib: int, partitions: int) -> None:
    """Held rows, a file of them that is twice as large, a batch five times, and the client's queue fit together."""
    budget = MemoryBudget.of(memory_mib * MIB, partitions)
    queue = max(budget.queue_kb * 1024, budget.queued_messages * partitions * QUEUED_MESSAGE_BYTES)
    reading = budget.held_bytes + 5 * budget.poll_bytes
    building = 3 * budget.held_bytes
    assert queue + budget.fetch_bytes + max(reading, building) <= memory_mib * MIB


def test_many_partitions_share_the_queue() -> None:
    """The client counts messages by partition: a thousand of them get a thousandth each."""
    few, many = MemoryBudget.of(partitions=4), MemoryBudget.of(partitions=1_000)
    assert few.queued_messages * 4 == pytest.approx(many.queued_messages * 1_000, rel=0.02)
    assert few.queue_kb == many.queue_kb


def test_the_client_is_told_all_shares() -> None:
    """Each bound of the queue reaches librdkafka under its own name for it."""
    budget = MemoryBudget.of()
    assert set(budget.fetch_settings().values()) == {
        budget.queued_messages,
        budget.fetch_bytes,
        budget.fetch_partition_bytes,
    }
