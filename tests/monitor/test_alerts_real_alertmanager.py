"""A real Alertmanager: what it makes of alerts that fire, go on, come from two workers, end, or are forgotten."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from alert_kit import Receiver, receiving, transition, wait_until
from debian_tools import Tool, alertmanager
from scraping import get

from headrace.local.ports import choose
from headrace.monitor import alerts_alertmanager
from headrace.monitor.alerts_alertmanager import PATH, Alertmanager
from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_http import Backoff, endpoint
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.transition import State

CONFIG = """
route: {{receiver: people, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: people
    webhook_configs: [{{url: "{url}/people", send_resolved: true}}]
"""


@pytest.fixture(scope="module")
def people() -> Iterator[Receiver]:
    """Whom Alertmanager tells."""
    with receiving() as started:
        yield started


@pytest.fixture(scope="module")
def url(people: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tool, port = alertmanager(), choose(1, Random())[0]
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(CONFIG.format(url=people.url))
    with tempfile.TemporaryDirectory(prefix="am", dir="/tmp") as short, (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [at_home(tool, Path(short)), f"--config.file={folder}/config.yml", f"--storage.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
            env=tool.env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
        )  # fmt: skip
        try:
            at = f"http://127.0.0.1:{port}"
            wait_until(lambda: ready(at))
            yield at
        finally:
            process.terminate()
            process.wait(60)


def at_home(tool: Tool, short: Path) -> str:
    """Return the program; Debian's looks for its templates in a fixed folder, so that a copy looks where they are."""
    installed, unpacked = Path("/usr/share/prometheus/alertmanager"), Path(tool.path).parents[1]
    there = unpacked / installed.relative_to("/usr")
    if installed.exists() or not there.exists():
        return tool.path
    (short / "t").symlink_to(there)
    name = f"{short}/t"
    fixed = str(installed).encode()
    name += "/." * ((len(fixed) - len(name)) // 2) + "/" * ((len(fixed) - len(name)) % 2)
    assert len(name) == len(fixed), name
    copy = short / "alertmanager"
    copy.write_bytes(Path(tool.path).read_bytes().replace(fixed, name.encode()))
    copy.chmod(0o700)
    return str(copy)


def ready(at: str) -> bool:
    try:
        return get(f"{at}/-/ready").status == 200
    except OSError:
        return False


def now_us() -> int:
    return time.time_ns() // 1000


def told(state: State, rule: str, age_s: float = 0, **changed: Any) -> Told:
    """What was decided so many seconds ago, of an alert that began a minute before."""
    end_us = now_us() - int(age_s * 1e6)
    times = {"window_start_us": end_us - 10_000_000, "window_end_us": end_us, "at_us": end_us}
    return Told.of(transition(state, rule=rule, **times, **changed), end_us - 60_000_000)


def worker(url: str, resend_s: float = 0.5) -> tuple[Alertmanager, MonitorNumbers]:
    numbers = MonitorNumbers()
    known: dict[str, Told] = {}
    made = Alertmanager(
        endpoint("--alertmanager", url, PATH), numbers, token=None, generator_url="http://board.example/",
        backoff=Backoff(0.05, 0.5, lambda: 1.0), still_firing=lambda _asked: known, expire_us=3_600_000_000,
        now_us=now_us, monotonic=time.monotonic, resend_s=resend_s,
    )  # fmt: skip
    offer = made.offer

    def noting(news: Any) -> None:
        known.update({each.fingerprint: each for each in news})
        offer(news)

    made.offer = noting  # type: ignore[method-assign]
    made.start()
    return made, numbers


def active(url: str, rule: str) -> list[Any]:
    """What Alertmanager holds to fire."""
    found = json.loads(get(f"{url}/api/v2/alerts?active=true&filter=alertname%3D%22{rule}%22").body)
    return [each for each in found if each["status"]["state"] == "active"]


def heard(people: Receiver, rule: str) -> list[str]:
    """What people were told of a rule: firing, resolved."""
    with people.changed:
        bodies = [each.json for each in people.got]
    return [each["status"] for each in bodies if each["groupLabels"] == {"alertname": rule}]


def test_it_fires_goes_on_and_ends_once(url: str, people: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is sent, and by two workers: one alert, people told once that it fires, once that it ended."""
    monkeypatch.setattr(alerts_alertmanager, "HOLD_RESENDS", 200)  # a machine may stand still for seconds
    (one, numbers_one), (two, numbers_two) = worker(url), worker(url)
    firing = told("firing", "failed-logins", message='<b>"ü" & {{ .Labels }}', labels={"user.id": "7", "source": "x"})
    for each in (one, two):
        each.offer([firing])
    wait_until(lambda: numbers_one.count("notified").get((one.name, "sent"), 0) >= 4)
    wait_until(lambda: numbers_two.count("notified").get((two.name, "sent"), 0) >= 4)
    (found,) = active(url, "failed-logins")
    assert found["labels"] == {
        "alertname": "failed-logins", "severity": "critical", "source": "headrace", "exported_source": "x",
        "user_id": "7",
    }  # fmt: skip
    assert found["annotations"]["summary"] == firing.transition.message
    assert found["generatorURL"] == "http://board.example/"
    two.close()
    one.offer([Told.of(told("resolved", "failed-logins", labels=firing.transition.labels).transition, firing.began_us)])
    wait_until(lambda: heard(people, "failed-logins") == ["firing", "resolved"])
    assert active(url, "failed-logins") == []
    one.close()
    assert numbers_one.count("notified").get((one.name, "refused"), 0) == 0


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("odd-names", {"labels": {"9": "a", "ünï-x": "b", "": "c", "alertname": "d", "empty": ""}}),
        ("odd-values", {"labels": {"x": "\n\t\"\\" + "é" * 500}, "message": "", "runbook": "", "value": float("nan")}),
        ("ahead", {"window_start_us": 1, "window_end_us": 4_000_000_000_000_000, "at_us": 4_000_000_000_000_000}),
    ],
)  # fmt: skip
def test_it_takes_whatever_a_rule_says(url: str, rule: str, changed: dict[str, Any]) -> None:
    """Nothing is refused; what event time says of the future fires now."""
    given = transition("firing", rule=rule, **changed)
    made, numbers = worker(url)
    made.offer([Told.of(given, given.window_end_us)])
    wait_until(lambda: len(active(url, rule)) == 1)
    made.close()
    assert numbers.count("notified").get((made.name, "refused"), 0) == 0


def test_a_monitor_that_is_gone_leaves_no_alert_for_ever(
    url: str, people: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sends it any more: Alertmanager ends it when the end passes that it was told last, some resends later."""
    monkeypatch.setattr(alerts_alertmanager, "HOLD_RESENDS", 10)
    made, _ = worker(url, resend_s=0.4)
    made.offer([told("firing", "orphan")])
    wait_until(lambda: len(active(url, "orphan")) == 1)
    made.close()
    wait_until(lambda: active(url, "orphan") == [])
    wait_until(lambda: heard(people, "orphan")[-1:] == ["resolved"])
    assert heard(people, "orphan")[0] == "firing"
