"""Each rule: what makes it speak, what keeps it quiet, and that it has a page for the person who is woken."""

from pathlib import Path
from typing import Any

import pytest
from lag_facts import NOW_MS, facts, judged

from headrace.archiver.kafka_admin import FirstRecord, LogEnds
from headrace.archiver.oncall.facts import OpenTransaction, Rates, Retention
from headrace.archiver.oncall.finding import Finding, spoken
from headrace.archiver.oncall.heartbeat import Heartbeat
from headrace.archiver.oncall.lag import evaluate
from headrace.archiver.oncall.rules import NAMES, findings
from headrace.archiver.oncall.thresholds import Thresholds

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook"
HOUR_MS = 3_600_000


def found(**known: Any) -> dict[str, Finding]:
    """What the rules say of one partition, by rule."""
    return {each.rule: each for each in findings([judged(**known)], Thresholds())}


def beat(age_s: float = 1, **said: Any) -> Heartbeat:
    return Heartbeat(**{"worker": "h:1:0", "at_ms": NOW_MS - int(age_s * 1000), "taken": 10, "rate": 5, **said})


def test_all_is_well() -> None:
    """Caught up, with a worker: nothing to say. Idle and empty neither."""
    assert found(heartbeat=beat()) == {}
    assert found(ends=LogEnds(0, 0, 0), durable=None, committed=None) == {}
    assert found(ends=LogEnds(7, 7, 7), durable=7) == {}


def test_a_worker_that_is_gone_matters_only_when_records_wait() -> None:
    """A silent worker of an idle topic wakes nobody."""
    assert found(heartbeat=beat(4000)) == {}
    told = found(heartbeat=beat(4000), durable=4, first=FirstRecord(NOW_MS))["not-running"]
    assert (told.severity, told.partition) == ("critical", 0)
    assert "1 h 6 min" in told.evidence
    ended = found(heartbeat=beat(4000, trouble="access denied"), durable=4, first=FirstRecord(NOW_MS))["not-running"]
    assert ended.evidence.endswith("its last words: access denied")


def test_records_that_nobody_ever_looked_at() -> None:
    """No archiver was ever told of the topic; one with a heartbeat has been."""
    waiting = {"durable": None, "committed": None, "first": FirstRecord(NOW_MS)}
    assert "never-started" in found(**waiting)
    assert "never-started" not in found(**waiting, heartbeat=beat())


def test_a_worker_that_says_why_it_cannot_commit() -> None:
    """Its own words and since when; not once it is silent itself."""
    trouble = {"trouble": "connection refused", "trouble_since_ms": NOW_MS - 61_000}
    told = found(heartbeat=beat(1, **trouble), durable=4, first=FirstRecord(NOW_MS))
    assert "connection refused" in told["upload-failing"].evidence
    assert "1 min" in told["upload-failing"].evidence
    assert "stalled" not in told
    assert "upload-failing" not in found(heartbeat=beat(4000, **trouble), durable=4, first=FirstRecord(NOW_MS))


def test_a_worker_that_lives_and_does_not_get_on() -> None:
    """Alive, no trouble, nothing durable for minutes, old records wait. A slow one is not stalled."""
    old = {"durable": 4, "first": FirstRecord(NOW_MS - 700_000)}
    assert "stalled" in found(heartbeat=beat(rate=0), **old)
    assert "stalled" not in found(heartbeat=beat(rate=1), **old)
    assert "stalled" not in found(heartbeat=beat(rate=-1), **old)
    assert "stalled" not in found(heartbeat=beat(rate=0), durable=4, first=FirstRecord(NOW_MS - 1000))


def test_losing_data_weighs_the_deletion_against_the_arrival() -> None:
    """Soon is critical at any speed but a much faster one; far away is fine when the archive arrives before."""
    soon = {"durable": 4, "first": FirstRecord(NOW_MS - HOUR_MS // 2), "retention": Retention(HOUR_MS, None)}
    assert found(**soon)["losing-data"].severity == "critical"
    assert "losing-data" not in found(**soon, heartbeat=beat(), rates=Rates(0, 0))  # 6 records, 5 a second
    far = {**soon, "retention": Retention(100 * HOUR_MS, None)}
    assert "losing-data" not in found(**far)
    slow = {"ends": LogEnds(0, 10**7, 10**7), "heartbeat": beat(rate=3), "rates": Rates(0, 0)}
    assert "losing-data" in found(**{**far, **slow})  # 38 days at this speed, kept for four


def test_losing_data_says_the_exact_change_that_buys_time() -> None:
    """The command doubles the bound that is nearest."""
    soon = {"durable": 4, "first": FirstRecord(NOW_MS), "retention": Retention(HOUR_MS // 2, None)}
    assert "--add-config retention.ms=3600000" in found(**soon)["losing-data"].commands[0]
    full = {"retention": Retention(None, 9_000), "size_bytes": 10_000, "rates": Rates(1.0, 10.0)}
    by_bytes = found(durable=400, ends=LogEnds(0, 1000, 1000), first=FirstRecord(NOW_MS), **full)
    assert "retention.bytes=18000" in by_bytes["losing-data"].commands[0]


def test_what_is_lost_already() -> None:
    """The log start has passed the archive."""
    assert found(ends=LogEnds(6, 10, 10), durable=2, first=FirstRecord(NOW_MS))["data-lost"].severity == "critical"


def test_an_archive_ahead_of_kafka() -> None:
    """Kafka lost records; not said of a topic that is gone."""
    assert "truncated" in found(durable=11)
    assert found(durable=11, problem="Kafka has no such topic (any more)") == {}


def test_kafka_was_told_of_more_than_is_durable() -> None:
    """A restored archive, or a stranger who commits; a topic that was made again has its own page."""
    assert "rewound" in found(durable=4, committed=9, first=FirstRecord(NOW_MS))
    assert "rewound" not in found(durable=4, committed=4, first=FirstRecord(NOW_MS))
    assert "rewound" not in found(durable=None, committed=9, recreated=True, first=FirstRecord(NOW_MS))


def test_a_transaction_that_stays_open() -> None:
    """Named with its producer; a young one is everyday life."""
    held = {"ends": LogEnds(0, 10, 15)}
    told = found(**held, transaction=OpenTransaction("loader-7", NOW_MS - HOUR_MS))["open-transaction"]
    assert "loader-7" in told.evidence
    assert "holds back 5 offsets" in told.evidence
    assert "--start-offset 10" in told.commands[1]
    assert found(**held, transaction=OpenTransaction("loader-7", NOW_MS - 1000)) == {}


def test_old_records_wait() -> None:
    """A warning, then critical, whatever else is known."""
    assert found(durable=4, first=FirstRecord(NOW_MS - 601_000))["behind"].severity == "warning"
    assert found(durable=4, first=FirstRecord(NOW_MS - HOUR_MS))["behind"].severity == "critical"


def test_many_undecodable_records() -> None:
    """One in a hundred of the last hour's; a single odd record among many is no alarm."""
    assert "quarantined" in found(rows=99, quarantined=1)
    assert "quarantined" not in found(rows=1000, quarantined=1)


def test_a_damaged_log() -> None:
    """First of all findings."""
    told = findings([judged(damaged=True, problem="not JSON"), judged(ends=LogEnds(6, 9, 9), durable=2)], Thresholds())
    assert [each.rule for each in told] == ["damaged-log", "data-lost"]


def test_critical_comes_first() -> None:
    """Whoever reads one line reads the worst one."""
    warned = judged(durable=4, committed=9, first=FirstRecord(NOW_MS))
    lost = evaluate(facts(ends=LogEnds(6, 10, 10), durable=2, committed=2), NOW_MS)
    assert [each.severity for each in findings([warned, lost], Thresholds())] == ["critical", "warning"]


@pytest.mark.parametrize("rule", NAMES)
def test_each_rule_has_its_page(rule: str) -> None:
    """docs/runbook/<rule>.md says what it means, how to check, what to do."""
    text = (RUNBOOK / f"{rule}.md").read_text()
    for heading in ("## What it means", "## How to check", "## What to do"):
        assert heading in text


def test_there_is_no_page_without_a_rule() -> None:
    """A page that nothing leads to is dead. index.md lists them."""
    assert {page.stem for page in RUNBOOK.glob("*.md")} - {"index"} == set(NAMES)


def test_durations_are_spoken_in_two_units() -> None:
    """As people say them."""
    said = [spoken(seconds) for seconds in (0, 45, 725, 3600, 11_400, 525_600)]
    assert said == ["0 s", "45 s", "12 min 5 s", "1 h", "3 h 10 min", "6 d 2 h"]


def test_a_silent_worker_archives_nothing_any_more() -> None:
    """The speed that it told of before it died says nothing about when the archive has caught up."""
    waiting = {"durable": 4, "first": FirstRecord(NOW_MS - 1000), "rates": Rates(1, 1)}
    assert judged(**waiting, heartbeat=beat(1, rate=50)).catch_up.when == "in"
    assert judged(**waiting, heartbeat=beat(4000, rate=50)).catch_up.when == "never"
