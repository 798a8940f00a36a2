"""What the archiver relies on of Kafka, proved on the simulated Kafka and on the real one alike."""

from collections.abc import Iterator

import pytest
from servers import Servers

from contract.source_beds import Bed, Member, RealBed, SimBed
from headrace.archiver.default_names import READINGS
from headrace.archiver.source import SourceFenced, Start, TopicPartition


@pytest.fixture(params=["simulated", *(pytest.param(kind, marks=pytest.mark.servers) for kind in READINGS)])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """A Kafka of each kind; the real one read in each way."""
    simulated = request.param == "simulated"
    made: Bed = SimBed() if simulated else RealBed(request.getfixturevalue("servers"), request.param)
    yield made
    made.close()


def numbered(begin: int, end: int) -> list[bytes]:
    return [b"v%d" % n for n in range(begin, end)]


def test_records_come_in_order_from_where_the_assignee_says(bed: Bed) -> None:
    """assigned() is called in a poll; all from its offset on comes once, in order, with the epoch, then the end."""
    topic = bed.new_topic()
    bed.write(topic, numbered(0, 6))
    member = bed.member(topic, starts={TopicPartition(topic, 0): Start(2)})
    bed.poll_until(lambda: bool(member.reached()), "the end", member)
    assert member.calls[0] == ("assigned", [TopicPartition(topic, 0)])
    assert member.values() == [(offset, b"v%d" % offset) for offset in range(2, 6)]
    assert member.reached() == [6]
    assert next(getattr(event, "leader_epochs", None) for event in member.events) == {0: 0}


def test_markers_and_aborted_records_move_the_end_and_nothing_else(bed: Bed) -> None:
    """A read_committed reader is given neither; the end that it is told lies behind them."""
    topic = bed.new_topic()
    bed.write(topic, [b"a"])
    bed.transaction(topic, [b"never"])(False)
    bed.transaction(topic, [b"b"])(True)
    member = bed.member(topic)
    bed.poll_until(lambda: 5 in member.reached(), "the end behind the marker", member)
    assert member.values() == [(0, b"a"), (3, b"b")]


def test_an_open_transaction_holds_everything_behind_it(bed: Bed) -> None:
    """The end is the last stable offset while a transaction is open; afterwards all comes, in order."""
    topic = bed.new_topic()
    bed.write(topic, [b"a"])
    end = bed.transaction(topic, [b"open"])
    bed.write(topic, [b"behind"])
    member = bed.member(topic)
    bed.poll_until(lambda: bool(member.reached()), "the last stable offset", member)
    assert (member.values(), member.reached()) == ([(0, b"a")], [1])
    where = TopicPartition(topic, 0)
    assert member.source.log_ranges([where]) == {where: (0, 1)}
    end(True)
    bed.poll_until(lambda: 4 in member.reached(), "the end behind the marker", member)
    assert member.values() == [(0, b"a"), (1, b"open"), (2, b"behind")]


def test_an_offset_below_the_start_is_told_once_and_reading_elsewhere_mends_it(bed: Bed) -> None:
    """Deleted offsets give one OffsetLost and then nothing, until restart_at()."""
    topic = bed.new_topic()
    bed.write(topic, numbered(0, 6))
    bed.delete_before(topic, 4)
    member = bed.member(topic)
    bed.poll_until(lambda: member.lost_offsets() > 0, "the lost offset", member)
    for _ in range(5):
        member.poll()
    assert (member.lost_offsets(), member.values()) == (1, [])
    where = TopicPartition(topic, 0)
    assert member.source.log_ranges([where]) == {where: (4, 6)}
    member.source.restart_at({where: Start(4)})
    bed.poll_until(lambda: 6 in member.reached(), "the rest", member)
    assert member.values() == [(4, b"v4"), (5, b"v5")]


def test_an_offset_beyond_the_end_is_lost_too(bed: Bed) -> None:
    """It is told, never mended silently."""
    topic = bed.new_topic()
    bed.write(topic, numbered(0, 3))
    member = bed.member(topic, starts={TopicPartition(topic, 0): Start(10)})
    bed.poll_until(lambda: member.lost_offsets() == 1, "the lost offset", member)
    assert member.values() == []


def test_an_offset_of_an_older_epoch_is_read_on(bed: Bed) -> None:
    """With the epoch that the records had, nothing is lost."""
    topic = bed.new_topic()
    bed.write(topic, numbered(0, 4))
    member = bed.member(topic, starts={TopicPartition(topic, 0): Start(2, 0)})
    bed.poll_until(lambda: 4 in member.reached(), "the end", member)
    assert (member.lost_offsets(), member.values()) == (0, [(2, b"v2"), (3, b"v3")])


def test_restart_at_reads_again(bed: Bed) -> None:
    """What was read comes again after restart_at(), from its offset on."""
    topic = bed.new_topic()
    bed.write(topic, numbered(0, 3))
    member = bed.member(topic)
    bed.poll_until(lambda: 3 in member.reached(), "the end", member)
    member.events.clear()
    member.source.restart_at({TopicPartition(topic, 0): Start(1)})
    bed.poll_until(lambda: 3 in member.reached(), "the end again", member)
    assert member.values() == [(1, b"v1"), (2, b"v2")]


def test_a_topic_that_is_made_again_has_another_id(bed: Bed) -> None:
    """A deleted topic has no id; the one that is made again has a new one."""
    topic = bed.new_topic()
    member = bed.member(topic)
    first = member.source.topic_ids([topic])[topic]
    bed.delete_topic(topic)
    assert member.source.topic_ids([topic]) == {}
    bed.make_again(topic)
    # For a moment after it was made a topic may not be known everywhere.
    bed.poll_until(lambda: topic in member.source.topic_ids([topic]), "the new topic", member)
    assert member.source.topic_ids([topic])[topic] not in ("", first)


def test_added_partitions_are_assigned(bed: Bed) -> None:
    """New partitions come to a member of the group by themselves."""
    topic = bed.new_topic()
    member = bed.member(topic)
    bed.poll_until(lambda: len(member.held) == 1, "one partition", member)
    bed.add_partitions(topic, 3)
    bed.poll_until(lambda: len(member.held) == 3, "three partitions", member)


def test_a_partition_is_given_up_before_another_has_it(bed: Bed) -> None:
    """When a member joins, partitions are revoked first; at no time two members have the same one."""
    topic = bed.new_topic(4)
    first = bed.member(topic, "shared")
    bed.poll_until(lambda: len(first.held) == 4, "all partitions", first)
    second = bed.member(topic, "shared")

    def shared() -> bool:
        assert not first.held & second.held
        return bool(second.held) and len(first.held | second.held) == 4

    bed.poll_until(shared, "shared partitions", first, second)
    assert any(call == "revoked" for call, _ in first.calls)


def test_a_member_that_leaves_frees_its_partitions(bed: Bed) -> None:
    """close() revokes what is held, and the other member gets it."""
    topic = bed.new_topic(2)
    first = bed.member(topic, "left")
    bed.poll_until(lambda: len(first.held) == 2, "all partitions", first)
    first.source.close()
    assert not first.held
    second = bed.member(topic, "left")
    bed.poll_until(lambda: len(second.held) == 2, "all partitions", second)


def test_a_member_that_the_group_gave_up_on_loses_its_partitions(bed: Bed) -> None:
    """Another has them while it knows of nothing; it is told lost() when it polls again."""
    topic = bed.new_topic(1)
    zombie = bed.member(topic, "given-up")
    bed.poll_until(lambda: len(zombie.held) == 1, "the partition", zombie)
    heir = bed.member(topic, "given-up")
    bed.give_up_on(zombie)
    bed.poll_until(lambda: len(heir.held) == 1, "the zombie's partition", heir)
    assert zombie.held
    zombie.poll()
    bed.poll_until(lambda: any(call == "lost" for call, _ in zombie.calls), "the loss", zombie, heir)


def test_a_static_member_is_fenced_by_its_successor(bed: Bed) -> None:
    """Who takes an instance's place gets its partitions; the old member is told so and must stop."""
    topic = bed.new_topic(2)
    old = bed.member(topic, "static", instance="i1")
    bed.poll_until(lambda: len(old.held) == 2, "all partitions", old)
    new = bed.member(topic, "static", instance="i1")
    bed.poll_until(lambda: len(new.held) == 2, "the old member's partitions", new)
    with pytest.raises(SourceFenced):
        bed.poll_until(lambda: False, "the fence", old, new)


@pytest.mark.servers
@pytest.mark.parametrize("reading", READINGS)
def test_a_static_member_that_is_back_in_time_disturbs_nobody(servers: Servers, reading: str) -> None:
    """A pod that ends and starts within the session timeout gets its own partitions; the other member hears nothing.

    Only the real broker: in the simulated group whoever closes has left, static or not; that is harder on the archiver.
    """
    bed = RealBed(servers, reading)
    topic = bed.new_topic(4)

    def pod(name: str) -> Member:
        return bed.member(topic, "pods", instance=name, session_ms=60_000)

    first, second = pod("pod-0"), pod("pod-1")
    bed.poll_until(lambda: len(first.held) == len(second.held) == 2, "two partitions each", first, second)
    own, heard = set(first.held), list(second.calls)
    first.source.close()
    again = pod("pod-0")
    bed.poll_until(lambda: again.held == own, "its own partitions", again, second)
    assert second.calls == heard
    bed.close()
