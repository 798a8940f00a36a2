"""The way of an alert from the command line: topic, Alertmanager, webhook, metrics and charts, on a real Kafka."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_kit import MINUTE_US, Receiver, receiving, transition
from archiving import run_headrace
from click.testing import CliRunner
from monitor_scene import RULES
from scraping import get, scrape
from servers import Servers

from headrace.cli.address import Address
from headrace.cli.main import root
from headrace.cli.monitor_alerts import Telling, alerting
from headrace.monitor.alerts import AlertSettings
from headrace.monitor.transition import WindowPoint

SECRET, TOKEN = "wEbh00k-s3cret", "am-t0ken-canary"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@pytest.mark.servers
def test_a_test_alert_reaches_everybody(servers: Servers, receiver: Receiver, tmp_path: Path) -> None:
    """Fires and ends, in the topic, at Alertmanager and at the webhook, signed; secrets by file and variable."""
    topic = servers.new_topic()
    (tmp_path / "secret").write_text(SECRET + "\n")
    env = {
        **servers.env, "HEADRACE_MONITOR_WEBHOOK_SECRET_FILE": str(tmp_path / "secret"),
        "HEADRACE_MONITOR_ALERTMANAGER_TOKEN": TOKEN, "HEADRACE_MONITOR_OUTBOX": str(tmp_path / "outbox.sqlite"),
    }  # fmt: skip
    words = ["monitor", "test-alert", "--alert-topic", topic, "--alertmanager", f"{receiver.url}/am"]
    done = run_headrace([*words, "--webhook", f"{receiver.url}/hook", "--link", "http://board.example/"], env)
    assert (done.code, done.stderr) == (0, "")
    assert f"topic {topic}: told" in done.stdout
    assert f"alertmanager {receiver.url}: sent 2" in done.stdout
    assert "webhook: sent 2" in done.stdout
    hooks = [each for each in receiver.got if each.path == "/hook"]
    assert [each.json["state"] for each in hooks] == ["firing", "resolved"]
    signed = hooks[0].headers["X-Headrace-Timestamp"].encode() + b"." + hooks[0].body
    made = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert hooks[0].headers["X-Headrace-Signature"] == f"sha256={made}"
    posts = [each for each in receiver.got if each.path == "/am/api/v2/alerts"]
    assert posts[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert {each.json[0]["labels"]["alertname"] for each in posts} == {"headrace-test"}
    assert posts[-1].json[0]["generatorURL"] == "http://board.example/"
    assert not {SECRET, TOKEN} & set(done.output.split())

    receiver.answers = [404] * 4
    refused = run_headrace([*words, "--webhook", f"{receiver.url}/wrong"], env)
    assert refused.code == 1
    assert "webhook: refused 2 (the log above says why)" in refused.stdout
    assert "answered 404" in refused.stderr

    absent = run_headrace([*words[:2], "--alert-topic", "not-there"], env)
    assert absent.code == 3
    assert "kafka-topics.sh --create --topic not-there" in absent.stderr


@pytest.mark.servers
def test_a_run_serves_its_metrics_and_charts(servers: Servers, receiver: Receiver, tmp_path: Path) -> None:
    """What a runner hands over is in Prometheus's format, in the charts, in the topic, and at the webhook."""
    charts, topic = tmp_path / "charts.sqlite", servers.new_topic()
    settings = AlertSettings(topic=topic, webhook=receiver.url, charts=charts, notify_age_s=1e9)
    said: list[str] = []
    kafka = {"bootstrap.servers": servers.kafka}
    with alerting(Telling(settings, Address("127.0.0.1", 0), ()), kafka, RULES, said.append) as alerts:
        url = said[0].split()[2].removesuffix("/metrics,")
        found = transition()
        end_us = found.window_end_us
        point = WindowPoint(found.rule, found.labels, end_us - MINUTE_US, end_us, 41.0, found.expected, firing=True)
        alerts.on_points([point])
        alerts.send([found])
        receiver.until(1)
        metrics = scrape(f"{url}/metrics")
        assert metrics["headrace_monitor_firing"] == {("failed-logins", "critical"): 1}
        assert metrics["headrace_monitor_value"] == {("failed-logins",): 41}
        board = json.loads(get(f"{url}/charts.json").body)
        assert board["state"] == "there"
        (series,) = next(each for each in board["rules"] if each["rule"] == "failed-logins")["series"]
        assert (series["group"], series["firing"], len(series["marks"])) == ("service web", True, 1)
    with alerting(Telling(settings, None, ()), kafka, RULES, folder=tmp_path) as alerts:
        alerts.send([found])
    assert len(receiver.got) == 1
    assert (tmp_path / "outbox.sqlite").exists(), "kept in the run's folder, as no other was named"


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--alertmanager", "127.0.0.1:9093"], "--alertmanager: must be http://HOST"),
        (["--webhook", "https://u:hunter2@h/x"], "--webhook: leave user and password out"),
        (["--link", "board"], "--link: must be http://HOST"),
        (["--metrics", "nowhere"], "'nowhere' is no HOST:PORT"),
        (["--still-every", "0"], "0"),
    ],
)
def test_what_cannot_be_is_said_before_anything_begins(words: list[str], wrong: str) -> None:
    """Exit code 2, the option's name, and no password."""
    done = CliRunner().invoke(root, ["monitor", "test-alert", "--kafka", "127.0.0.1:1", *words])
    assert done.exit_code == 2
    assert wrong in done.output
    assert "hunter2" not in done.output


def test_secrets_and_secret_addresses_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """`config show` says that they are there; of a webhook's address it says the host: the path is often a secret."""
    monkeypatch.setenv("HEADRACE_MONITOR_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("HEADRACE_MONITOR_WEBHOOK", f"https://hooks.example/services/{TOKEN}")
    for form in ([], ["--json"]):
        done = CliRunner().invoke(root, ["config", "show", "--set", *form])
        assert done.exit_code == 0
        assert "hooks.example/(secret)" in done.output
        assert SECRET not in done.output
        assert TOKEN not in done.output
    checked = CliRunner().invoke(root, ["config", "check"])
    assert "WEBHOOK_SECRET is no variable" not in checked.output
    monkeypatch.setenv("HEADRACE_MONITOR_ALERTMANAGER_TOKEN", "two\nlines")
    words = ["monitor", "test-alert", "--kafka", "127.0.0.1:1", "--alertmanager", "http://h"]
    done = CliRunner().invoke(root, words)
    assert (done.exit_code, "one line of printable ASCII" in done.output) == (2, True)
