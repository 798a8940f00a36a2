"""The rules that regard no partition: what makes each speak, and what keeps it quiet."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from lag_facts import NOW_MS

from headrace.archiver.oncall.audit_tail import AuditTail, account_of
from headrace.archiver.oncall.finding import Finding
from headrace.archiver.oncall.rules import NAMES, findings
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.oncall.whole import CLOSED_FOR_US, Account, SchemaConflict, Whole
from headrace.archiver.oncall.whole_rules import WHOLE_NAMES
from headrace.producer.counts import LOST_AFTER_ACCEPTANCE
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder


def account(**known: Any) -> Account:
    given: dict[str, Any] = {
        "topic": "pin", "service": "web", "host": "web-3", "session": "5f" * 16, "own": True, "closed": False,
        "in_memory": False, "told_ms": NOW_MS - 30_000, "accepted": 100, "acked": 90, "waiting": 10, "lost": 0,
        "refused": 0, "seconds_until_drop": None, **known,
    }  # fmt: skip
    return Account(**given)


def found(*accounts: Account, conflicts: tuple[SchemaConflict, ...] = ()) -> list[Finding]:
    return findings([], Thresholds(), Whole(conflicts, accounts), NOW_MS)


def test_sessions_that_account_for_everything_are_no_news() -> None:
    """Waiting events on disk, a queue that does not grow, one that has days left."""
    assert found(account(), account(seconds_until_drop=9e5), account(told_ms=NOW_MS - 3_000_000)) == []


def test_a_spool_that_is_about_to_drop() -> None:
    """One finding a host, for its nearest queue; what went by since it was told is taken off; soon is critical."""
    told = found(account(seconds_until_drop=1830.0), account(topic="follow", seconds_until_drop=2000.0))
    assert [(each.rule, each.severity, each.where) for each in told] == [("spool-about-to-drop", "warning", "pin")]
    assert "web on web-3 will refuse events in 30 min" in told[0].evidence
    assert found(account(seconds_until_drop=629.0))[0].severity == "critical"
    assert "now" in found(account(seconds_until_drop=0.0))[0].evidence


def test_an_old_forecast_says_nothing() -> None:
    """What a session said long ago, or before it closed, is not about now."""
    assert found(account(seconds_until_drop=10.0, told_ms=NOW_MS - 900_000)) == []
    assert found(account(seconds_until_drop=10.0, closed=True)) == []


def test_events_that_a_session_does_not_account_for() -> None:
    """Accepted is acknowledged, waiting or lost; what is missing is a hole. An adopter saw only a part."""
    told = found(account(acked=80, lost=3))
    assert [(each.rule, each.severity) for each in told] == [("audit-hole", "critical")]
    assert "7 events" in told[0].evidence
    assert told[0].commands == ("headrace verify pin --audit",)
    assert found(account(acked=87, lost=3)) == []
    assert found(account(acked=0, own=False)) == []


def test_a_silent_session_with_events_in_memory() -> None:
    """After five minutes it may have been killed; on disk its events would wait for the next process."""
    silent = {"told_ms": NOW_MS - 400_000, "in_memory": True}
    assert [(each.rule, each.severity) for each in found(account(**silent))] == [("audit-hole", "warning")]
    assert found(account(**silent, closed=True)) == []
    assert found(account(**{**silent, "in_memory": False})) == []
    assert found(account(**silent, waiting=0, acked=100)) == []


def test_two_texts_of_one_fingerprint() -> None:
    """Both names are in the commands; it is about the archive, no topic."""
    told = found(conflicts=(SchemaConflict("aa11", "ff22"),))
    assert [(each.rule, each.where) for each in told] == [("schema-conflict", "archive")]
    assert "schemas/aa11.avsc" in told[0].commands[0]
    assert "schemas/aa11-ff22.avsc" in told[0].commands[1]


def test_every_rule_is_produced_here() -> None:
    """No rule of the list is forgotten, and names are as in the runbook."""
    told = found(account(seconds_until_drop=1.0), account(acked=1), conflicts=(SchemaConflict("a", "b"),))
    assert {each.rule for each in told} == set(WHOLE_NAMES) <= set(NAMES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", name) for name in WHOLE_NAMES)


def test_reasons_of_loss_are_the_producers() -> None:
    """The archiver does not import the producer, so the list is held to the producer's by this test."""
    assert CLOSED_FOR_US == LOST_AFTER_ACCEPTANCE


def test_what_an_audit_event_says() -> None:
    """Refused events were never accepted; lost ones were."""
    event = {
        "about_topic": "pin", "service": "web", "host": "h", "about_session": b"\x01" * 16, "reporter": "OWN",
        "closed": False, "durability": "MEMORY", "occurred_at": datetime.fromtimestamp(NOW_MS / 1000, UTC),
        "accepted": 10, "acked": 5, "waiting": 2, "dropped": {"expired": 3, "full": 4}, "seconds_until_drop": None,
    }  # fmt: skip
    told = account_of(event)
    assert (told.lost, told.refused, told.unexplained, told.in_memory) == (3, 4, 0, True)
    with pytest.raises(KeyError):
        account_of({"about_topic": "pin"})


def test_a_cluster_without_an_audit_topic_is_not_asked() -> None:
    """No consumer is made, nobody is waited for."""
    tail = AuditTail({"bootstrap.servers": "127.0.0.1:1"}, "headrace.audit", Decoder(builtin()), monotonic=lambda: 0.0)
    assert tail.accounts(0, NOW_MS) == ()
