"""The demo: its proof sees what differs, its load is what it says, and all of it works on real servers."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from house.tree import ROOT

sys.path.append(str(ROOT / "examples"))

from roundtrip import load, proof

TOPIC = "pin"
RECORD = (b"7", b"value", (("header", None),), (1, 1_700_000_000_000))
OTHER = (b"7", b"other", (), (1, 1_700_000_000_001))


def replayed(original: list[proof.Record], copy: list[proof.Record]) -> proof.Replayed:
    return proof.compare({0: original}, {0: copy})


def verdict(emitted: int, archived: proof.Archived, back: proof.Replayed) -> proof.Verdict:
    return proof.Verdict(TOPIC, emitted, archived, back)


def test_equal_topics_have_no_difference() -> None:
    """The same records in the same order are a replay."""
    assert replayed([RECORD, OTHER], [RECORD, OTHER]) == proof.Replayed(2, 0, 0, 0)


@pytest.mark.parametrize(
    ("copy", "missing", "extra", "out_of_order"),
    [
        ([RECORD], 1, 0, 0),
        ([RECORD, OTHER, OTHER], 0, 1, 0),
        ([OTHER, RECORD], 0, 0, 2),
        ([RECORD, (None, *OTHER[1:])], 1, 1, 0),
        ([RECORD, (*OTHER[:2], (("header", b""),), OTHER[3])], 1, 1, 0),
        ([RECORD, (*OTHER[:3], (2, 1_700_000_000_001))], 1, 1, 0),
    ],
)
def test_each_difference_is_seen(copy: list[proof.Record], missing: int, extra: int, out_of_order: int) -> None:
    """A lost, doubled, moved or altered record (key, headers, timestamp type) is one."""
    assert replayed([RECORD, OTHER], copy) == proof.Replayed(len(copy), missing, extra, out_of_order)


def test_records_of_a_partition_count_there_only() -> None:
    """The same records in another partition are all missing and all extra."""
    assert proof.compare({0: [RECORD], 1: []}, {0: [], 1: [RECORD]}) == proof.Replayed(1, 1, 1, 0)


def test_verdict_of_a_whole_round() -> None:
    """Equal counts and no difference are exact, and said so in one line."""
    good = verdict(2, proof.Archived(2, 2, 1, 0), proof.Replayed(2, 0, 0, 0))
    assert good.exact
    assert good.line() == "exact pin: emitted 2 = archived 2 = replayed 2, lost 0, duplicated 0"


@pytest.mark.parametrize(
    ("emitted", "archived", "back", "lost", "duplicated"),
    [
        (3, proof.Archived(2, 2, 1, 0), proof.Replayed(2, 0, 0, 0), 1, 0),
        (2, proof.Archived(3, 2, 1, 0), proof.Replayed(3, 0, 0, 0), 0, 1),
        (1, proof.Archived(2, 2, 1, 0), proof.Replayed(2, 0, 0, 0), 0, 1),
        (2, proof.Archived(2, 2, 1, 0), proof.Replayed(1, 1, 0, 0), 1, 0),
        (2, proof.Archived(2, 2, 1, 0), proof.Replayed(3, 0, 1, 0), 0, 1),
        (2, proof.Archived(2, 2, 1, 0), proof.Replayed(2, 0, 0, 2), 0, 0),
        (2, proof.Archived(2, 2, 1, 1), proof.Replayed(2, 0, 0, 0), 0, 0),
    ],
)
def test_verdict_names_what_differs(
    emitted: int, archived: proof.Archived, back: proof.Replayed, lost: int, duplicated: int
) -> None:
    """Events lost or doubled on either leg, records out of order and sessions with holes are not exact."""
    bad = verdict(emitted, archived, back)
    assert not bad.exact
    assert (bad.lost, bad.duplicated) == (lost, duplicated)
    assert bad.line().startswith("DIFFERS pin: ")


def test_archived_events_are_counted_by_id_and_session() -> None:
    """Rows, distinct ids, sessions, and sessions whose numbers have a hole come from plain SQL."""
    rows = "(values ('pin', 'a', 'e1', 1), ('pin', 'a', 'e2', 2), ('pin', 'a', 'e2', 2), ('pin', 'b', 'e3', 2))"
    table = f"{rows} as t(topic, session_id, event_id, seq)"
    counted = proof.count_archived(duckdb.connect(), table)
    assert counted == {"pin": proof.Archived(rows=4, events=3, sessions=2, broken_sessions=1)}


def test_plan_asks_for_as_many_pins_as_it_is_told() -> None:
    """The requests of a plan hold the pins asked for, and some of every other kind; a seed gives the same plan."""
    requests = load.plan(12_000, seed=1)
    assert sum(request.body.count(b",") - 1 for request in requests if request.path.endswith("/pins")) >= 12_000 - 400
    kinds = Counter(request.path.rsplit("/", 1)[-1] for request in requests)
    assert kinds.keys() == {"pins", "follows", "login", "feed"}
    assert requests == load.plan(12_000, seed=1)


@pytest.mark.servers
def test_demo_ends_with_every_topic_exact(tmp_path: Path) -> None:
    """`demo.py` with few events ends with 0, each topic's line says exact, and nothing of it is left running."""
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--events", "1000"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("exact ")]
    assert len(lines) == len(load.TOPICS)
    assert "exact pin: emitted 1000 = archived 1000 = replayed 1000, lost 0, duplicated 0" in lines
    assert "kill -9 " in done.stdout
