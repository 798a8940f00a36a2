"""What somebody else wrote, names, errors, contents, is obeyed by no terminal: at a real one, verb by verb."""

import io
import json
import logging
import os
import pty
import re
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from dashboard_scene import Scene, news, night, partition
from hypothesis import given, settings
from hypothesis import strategies as st
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.archiver.log_entries import Gap
from headrace.archiver.logged import configure
from headrace.archiver.metric import Metric
from headrace.archiver.metric_collector import exposed
from headrace.archiver.named_checkpoint import create_checkpoint
from headrace.archiver.oncall.finding import Finding
from headrace.archiver.oncall.heartbeat import Heartbeat
from headrace.archiver.oncall.lag import evaluate
from headrace.archiver.oncall.whole import Whole
from headrace.cli import configuration
from headrace.cli.dashboard_data import page_json
from headrace.cli.lag_views import explanation
from headrace.cli.main import main
from headrace.cli.terminal import GuardedStream
from headrace.schemas.safe_text import safe_line, safe_lines

# A window's title, a clipboard, a cleared screen, all in one byte each and in two; writing turned round; forged lines.
EVIL = "ev\x1b]0;owned\x07\x1b]52;c;AAAA\x07\x1b[2J\x9b31m\x1b[5m\u202eil\u2066\r\x08\x7f"
OBEYED = ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\x1b[5m", "\u202e", "\u2066", "\x08", "\x7f")
ANYTHING = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b[]0;m\x07\x9b\x9d\r\n\u202e\u2028\ud800\\u")), max_size=40
)


def obeyed(text: str) -> list[str]:
    return [repr(each) for each in OBEYED if each in text]


@contextmanager
def terminals() -> Iterator[list[bytes]]:
    """Put a terminal of their own behind standard output and standard error, and collect what reaches each."""
    reached = [bytearray(), bytearray()]
    streams, threads, before = [], [], (sys.stdout, sys.stderr)
    for into in reached:
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        streams.append(os.fdopen(theirs, "w", encoding="utf-8", closefd=True))
        thread = threading.Thread(target=_collect, args=(ours, into), daemon=True)
        thread.start()
        threads.append(thread)
    found: list[bytes] = []
    sys.stdout, sys.stderr = streams
    try:
        yield found
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            stream.close()
        for thread in threads:
            thread.join(60)
        found += [bytes(each) for each in reached]


def _collect(terminal: int, into: bytearray) -> None:
    with os.fdopen(terminal, "rb", buffering=0) as stream:
        while True:
            try:
                piece = stream.read(65_536)
            except OSError:  # how a terminal ends on Linux
                return
            if not piece:
                return
            into += piece


def shown(*arguments: str) -> str:
    """Run a verb at a terminal, in this process, and return all that the terminal got."""
    with terminals() as reached, pytest.raises(SystemExit):
        main(arguments)
    return b"\n".join(reached).decode("utf-8")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> SmallArchive:
    """An archive in which whatever may hold any text holds the worst: the verbs open it."""
    small = SmallArchive()
    append = small.append
    monkeypatch.setattr(small, "append", lambda entry: append(replace(entry, writer=EVIL, at=EVIL)))
    headers = [(EVIL, EVIL.encode()), (EVIL, None)]
    small.commit([Rec(0, o, pin_value(o), EVIL.encode(), NOV_23_MS + o, headers) for o in range(3)])
    small.commit(
        [Rec(0, 3, EVIL.encode(), EVIL.encode(), NOV_23_MS + DAY_MS, headers), Rec(0, 6, pin_value(6))],
        gaps={0: [Gap(4, 6, EVIL, {EVIL: EVIL})]},
    )
    create_checkpoint(small.store, "named", ["pin"], writer=EVIL, at=EVIL)
    small.memory.objects[f"data/topic=pin/dt=2026-11-23/{EVIL}.parquet"] = b"not ours"
    modules = (
        "replay",
        "verify",
        "log",
        "files",
        "quarantine",
        "gc",
        "checkpoint",
        "ddl",
        "compact",
        "expire",
        "erase",
    )
    for verb in modules:
        monkeypatch.setattr(f"headrace.cli.{verb}.open_store", lambda _url: small.store)
    monkeypatch.setenv("HEADRACE_ARCHIVE", "s3://b/p")
    monkeypatch.setenv("HEADRACE_KAFKA", "")
    return small


VERBS = [
    "log pin", "log pin --json", "verify pin", "verify pin --json", "replay pin --into stdout",
    "replay pin --into jsonl:x --plan-only", "quarantine show pin", "gc pin", "gc --json", "checkpoint list",
    "checkpoint show named", "checkpoint show named --json",
]  # fmt: skip
QUIET = [
    "files pin", "files pin --format json", "replay pin --into stdout --format raw", "quarantine list pin", "ddl pin",
    "compact pin --dt 2026-11-23 --dry-run", "checkpoint create new pin", "log other", "checkpoint show other",
]  # fmt: skip


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("line", [*VERBS, *QUIET])
def test_no_verb_lets_a_terminal_obey_what_the_archive_holds(line: str) -> None:
    """Names, keys, headers, errors, reasons, writers, objects: those that are shown are shown escaped."""
    text = shown(*line.split(" "))
    assert text.strip()
    assert obeyed(text) == []
    if line in VERBS:
        assert "ev\\u001b" in text, text


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("topic", [EVIL, f"../{EVIL}", "../../x"])
def test_an_error_repeats_a_name_harmlessly(topic: str) -> None:
    """A topic that is not there, or that leads elsewhere, is named in the error."""
    for verb in ("log", "files", "verify"):
        text = shown(verb, topic)
        assert "Error: " in text
        assert obeyed(text) == []


def scene() -> Scene:
    facts = partition(EVIL, 0, 900, behind=50)
    beat = facts.heartbeat
    assert isinstance(beat, Heartbeat)
    bad = replace(facts, heartbeat=replace(beat, worker=EVIL, trouble=EVIL))
    made = Scene([bad, *night().facts], (news(EVIL, 3, 9),), Whole(), {})
    made.problem = EVIL
    return made


@pytest.mark.parametrize("more", [(), ("-v",), ("--json",), ("--check",), ("--explain", EVIL)], ids=" ".join)
def test_lag_shows_hostile_topics_workers_and_troubles(monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]) -> None:
    """The table, its findings, what was not answered: with no store, no Kafka, and the worst of names."""
    looker = SimpleNamespace(look=scene().status)
    monkeypatch.setattr("headrace.cli.lag.make_looker", lambda *_a, **_k: looker)
    monkeypatch.setattr("headrace.cli.lag.open_to_look", lambda _url: None)
    text = shown("lag", "--kafka", "127.0.0.1:1", "--archive", "s3://b/p", *more)
    assert "ev" in text
    assert obeyed(text) == []


def test_commands_to_paste_do_only_what_they_say() -> None:
    """A topic's name that a shell would run is quoted."""
    name = "pin; rm -rf $(pwd) `id`"
    made = Scene([replace(partition(name, 0, 900, behind=50), damaged=True)], (), Whole(), {})
    status = made.status()
    commands = [command for each in status.findings for command in each.commands if "pin" in command]
    assert commands
    assert all(f"'{name}'" in command for command in commands)
    evil = Finding("behind", "warning", EVIL, None, EVIL, "step", (f"x\n{EVIL}",))
    told = "\n".join(explanation([evaluate(partition(EVIL, 0, 9), 0)], [evil], EVIL))
    assert obeyed(told) == []


def test_the_page_and_the_metrics_have_no_such_text() -> None:
    """What a browser shows and what Prometheus stores: names are shown with what they hold, escaped."""
    status = scene().status()
    found = json.dumps(json.loads(page_json(status, {}, [], 1.0)), ensure_ascii=False)
    assert "owned" in found
    assert obeyed(found) == []
    metric: Metric[int] = Metric("headrace_x", "gauge", ("topic",), "Text.", lambda _: {(EVIL,): 1.0})
    text = exposed([metric], lambda: 1)().decode()
    assert "owned" in text
    assert obeyed(text) == []


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_log_line_is_one_line(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a name nor an error can forge a line or move the cursor; a traceback keeps its lines."""
    into = io.StringIO()
    monkeypatch.setattr(sys, "stderr", into)
    before = logging.root.handlers[:], logging.root.level
    try:
        configure(form, "INFO")
        try:
            raise ValueError(EVIL)
        except ValueError:
            logging.getLogger("headrace.test").exception("topic %s\n12:00:00 INFO all is fine", EVIL)
    finally:
        logging.root.handlers[:], logging.root.level = before
    lines = into.getvalue().splitlines()
    assert obeyed(into.getvalue()) == []
    assert "all is fine" in lines[0]
    assert not any(line.startswith("12:00:00 INFO all") for line in lines)
    assert len(lines) == 1 if form == "json" else "Traceback" in lines[1]


def test_settings_are_shown_harmlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of variables and names in a file that cannot be used."""
    monkeypatch.setattr(configuration, "HERE", configuration.SYSTEM)
    monkeypatch.setenv("HEADRACE_SERVICE", EVIL)
    monkeypatch.setenv("HEADRACE_ARCHIVE_WORKERS", EVIL)
    for arguments in (("config", "show"), ("config", "check"), ("archive", "--kafka", "k:1", "--archive", "s3://b/p")):
        text = shown(*arguments)
        assert "owned" in text
        assert obeyed(text) == []


@settings(deadline=None)
@given(ANYTHING)
def test_what_is_escaped_is_harmless_and_in_json_the_same(text: str) -> None:
    """Any text: no control character but lines' and tabs', one line where it must be one; JSON means the same."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", safe_lines(text))
    assert len(safe_line(text).splitlines()) <= 1
    value = {text: [text]}
    assert json.loads(safe_lines(json.dumps(value, ensure_ascii=False, indent=2))) == value
    assert safe_lines("é пин 日本 👩‍👩‍👧\tx\n") == "é пин 日本 👩‍👩‍👧\tx\n"


@settings(deadline=None)
@given(ANYTHING)
def test_a_guarded_stream_passes_our_colours_and_nothing_else(text: str) -> None:
    """Colours of our own words and a line of progress pass; the same written in the middle of a name does no more."""
    raw = io.BytesIO()
    into = io.TextIOWrapper(raw, encoding="utf-8", newline="")
    stream = GuardedStream(cast("Any", into))
    stream.write(click.style("fine", fg="green") + text)
    stream.write("\r\x1b[K3 events")
    into.flush()
    written = raw.getvalue().decode()
    assert written.startswith("\x1b[32mfine\x1b[0m")
    assert written.endswith("\r\x1b[K3 events")
    left = re.sub(r"\x1b\[(0|1|2|3[1-6])m", "", written.removesuffix("\r\x1b[K3 events"))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", left)
