"""What of a partition counts: late events, repeats, things that are no events, and clocks that run ahead."""

import random

import pytest
from monitor_kit import T0, S, Watched, event, every, rule

from headrace.monitor.partition_panes import PartitionPanes
from headrace.monitor.seen_ids import SeenIds

COUNT = rule(window="10s", grace="5s", above=1e9)


def one(partition: PartitionPanes) -> dict[str, int]:
    (partial,) = partition.take()
    return {reason: count for reason, count in partial.uncounted.items() if count}


def test_an_event_counts_until_the_grace_after_its_hop_is_over() -> None:
    """A partition's own watermark decides: at 14.9 s an event of second 9 counts, at 15 s it is late."""
    watched = Watched(COUNT)
    watched.feed([event(T0 + 14_900_000), event(T0 + 9 * S), event(T0 + 15 * S), event(T0 + 9 * S, "too late")])
    watched.until(T0 + 60 * S)
    assert watched.values()[:2] == [1.0, 2.0]
    assert watched.evaluator.uncounted["late"] == 1


def test_an_event_that_comes_again_counts_once() -> None:
    """Equal event_ids are one event, at once or later, in one batch or another; other ids at the same time are not."""
    panes = PartitionPanes([COUNT], 0, 1)
    for _ in range(3):
        panes.add(event(T0, "a"), T0)
    (first,) = panes.take()
    panes.add(event(T0, "a"), T0 + 9 * S)
    panes.add(event(T0, "b"), T0 + 9 * S)
    (second,) = panes.take()
    counts = [sum(cell.matched for cell in each.cells.values()) for each in (first, second)]
    assert counts == [1, 1]
    assert (first.uncounted["duplicate"], second.uncounted["duplicate"]) == (2, 1)


def test_a_repeat_after_the_grace_is_late_and_never_counts() -> None:
    """Ids are let go once their repeats would be late: what is kept does not change the count."""
    panes = PartitionPanes([COUNT], 0, 1)
    panes.add(event(T0, "a"), T0)
    panes.add(event(T0 + 3600 * S, "b"), T0 + 3600 * S)
    assert panes.ids_kept == 1
    panes.add(event(T0, "a"), T0)
    (partial,) = panes.take()
    assert (sum(cell.matched for cell in partial.cells.values()), partial.uncounted["late"]) == (2, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"event_id": None},
        {"event_id": b"short"},
        {"occurred_at": None},
        {"occurred_at": True},
        {"occurred_at": "x"},
    ],
)
def test_what_is_no_event_is_malformed_and_moves_nothing(fields: dict[str, object]) -> None:
    """It is counted as such, no window has it, and the watermark stays."""
    panes = PartitionPanes([COUNT], 0, 1)
    panes.add({} if not fields else event(T0) | fields, T0)
    assert (one(panes), panes.watermark_us) == ({"malformed": 1}, -1)


def test_a_clock_hours_ahead_opens_no_window() -> None:
    """An event over an hour ahead of Kafka's time is left out, and told; memory has a bound."""
    panes = PartitionPanes([COUNT], 0, 1)
    panes.add(event(T0 + 3601 * S), T0)
    assert one(panes) == {"early": 1}


def test_one_rule_may_find_late_what_another_counts() -> None:
    """Each rule has its own windows and grace; a repeat is no late event of either."""
    short, long = rule("short", window="10s", grace="0s", above=1), rule("long", window="1m", grace="0s", above=1)
    panes = PartitionPanes([short, long], 0, 1)
    panes.add(event(T0 + 30 * S), T0 + 30 * S)
    panes.add(event(T0), T0)
    panes.add(event(T0), T0)
    first, second = panes.take()
    assert (first.uncounted["late"], second.uncounted["late"]) == (1, 0)
    assert (first.uncounted["duplicate"], sum(cell.matched for cell in second.cells.values())) == (1, 2)


def test_a_restart_goes_on_with_ids_and_watermark() -> None:
    """Another process that is given what take_ids() and watermark_us said decides alike."""
    from headrace.monitor.seen_ids import unpacked  # noqa: PLC0415

    panes = PartitionPanes([COUNT], 0, 1)
    for each in every(0.5, 0, 20):
        panes.add(each, each["occurred_at"])
    fresh = PartitionPanes([COUNT], 0, 1)
    fresh.restore(panes.watermark_us, list(unpacked(b"".join(panes.take_ids()))))
    panes.take()
    for each in [*every(0.5, 0, 25), event(T0, "late")]:
        for one_of in (panes, fresh):
            one_of.add(each, each["occurred_at"])
    assert fresh.take() == panes.take() or [p.uncounted for p in fresh.take()] == [p.uncounted for p in panes.take()]


def test_ids_have_a_bound() -> None:
    """Beyond the bound the oldest go, and that is counted; memory does not grow."""
    seen = SeenIds(10 * S, ids_max=100)
    for n in range(1_000):
        seen.add(n.to_bytes(16, "big"), n * S)
    assert len(seen) <= 100
    assert seen.forgotten == 1_000 - len(seen)


def test_how_partitions_are_read_beside_each_other_changes_nothing() -> None:
    """Batches of any size, partitions in any order: the same points, alerts and counts of what was left out."""
    checked = rule(window="20s", hop="5s", grace="3s", above=8, group_by=["method"], for_="10s")
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chosen = random.Random(seed)
    streams = []
    for partition in range(3):
        times = sorted(chosen.randrange(120 * S) for _ in range(300))
        late = [max(0, t - chosen.choice([0, 0, 0, 2 * S, 20 * S])) for t in times]
        streams.append([event(T0 + t, (partition, n % 290), method="AB"[n % 2]) for n, t in enumerate(late)])

    def run(order: random.Random) -> tuple[object, ...]:
        watched = Watched(checked, partitions=3)
        places = [0, 0, 0]
        while any(at < len(stream) for at, stream in zip(places, streams, strict=True)):
            partition = order.randrange(3)
            size = order.randrange(1, 60)
            watched.feed(streams[partition][places[partition] : places[partition] + size], partition)
            places[partition] += size
            if order.random() < 0.5:
                watched.take()
        watched.until(T0 + 200 * S)
        return watched.points, watched.transitions, watched.evaluator.uncounted

    first = run(random.Random(1))
    assert len(first[0]) > 20  # type: ignore[arg-type]
    assert all(run(random.Random(n)) == first for n in range(2, 8))
