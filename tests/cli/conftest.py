"""A small archive behind the command line's verbs, and a way to run them as a shell would."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.archiver.log_entries import Gap
from headrace.cli.main import root

Run = Callable[..., Result]


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> SmallArchive:
    """Three commits of topic pin, with a gap, two dates and a quarantined record; every reading verb opens it."""
    small = SmallArchive()
    small.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o) for o in range(5)])
    small.commit([Rec(0, 5, b"bad"), Rec(0, 6, pin_value(6, at_ms=NOV_23_MS + DAY_MS), None, NOV_23_MS + 6)])
    small.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o) for o in (9, 10)], gaps={0: [Gap(7, 9, "retention")]})
    for verb in ("replay", "verify", "log", "files"):
        monkeypatch.setattr(f"headrace.cli.{verb}.open_store", lambda _url: small.store)
    return small


@pytest.fixture
def run() -> Run:
    """Run a verb; the archive's address is in the environment, as `headrace local env` puts it there."""

    def run(*args: str) -> Result:
        return CliRunner().invoke(root, list(args), env={"HEADRACE_ARCHIVE": "s3://b/p"}, prog_name="headrace")

    return run
