"""The webhook, against a real HTTP server: in order, signed, again until it is taken, and never in the way."""

import hashlib
import hmac
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alert_kit import START_US, Receiver, receiving, transition, wait_until
from secured_kafka import Certificates

from headrace.monitor.alerts_event import Told, as_json
from headrace.monitor.alerts_http import Backoff, endpoint
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.alerts_outbox import Outbox
from headrace.monitor.alerts_webhook import Webhook

SECRET = b"a secret of the receiver's"


class Bench:
    """A webhook that tells a receiver, with short waits."""

    def __init__(
        self,
        url: str,
        path: Path | None = None,
        secret: bytes | None = SECRET,
        waiting_max: int = 100,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.numbers = MonitorNumbers()
        self.outbox = Outbox(path, waiting_max=waiting_max)
        self.webhook = Webhook(
            endpoint("webhook", f"{url}/hook?team=a"), self.outbox, self.numbers, secret=secret,
            backoff=Backoff(0.01, 0.05, lambda: 0.5), now_us=lambda: START_US, timeout_s=30, trust=trust,
        )  # fmt: skip
        self.webhook.start()

    def count(self, outcome: str) -> float:
        return self.numbers.count("notified").get(("webhook", outcome), 0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def told(minute: int = 0, state: str = "firing") -> Told:
    return Told.of(transition(state, minute), START_US)  # type: ignore[arg-type]


def test_it_gets_json_that_it_can_prove(receiver: Receiver) -> None:
    """Each alert is one POST, in order; the signature is the HMAC of timestamp, dot and body."""
    bench = Bench(receiver.url)
    news = [told(0), told(5, "still_firing"), told(9, "resolved")]
    bench.webhook.offer(news)
    got = receiver.until(3)
    assert [each.json for each in got] == [as_json(each) for each in news]
    for each in got:
        assert (each.path, each.headers["Content-Type"]) == ("/hook?team=a", "application/json")
        signed = each.headers["X-Headrace-Timestamp"].encode() + b"." + each.body
        made = "sha256=" + hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
        assert each.headers["X-Headrace-Signature"] == made
        assert each.headers["X-Headrace-Timestamp"] == str(START_US // 1_000_000)
    bench.webhook.close()
    assert bench.count("sent") == 3


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    """No header pretends to prove something."""
    bench = Bench(receiver.url, secret=None)
    bench.webhook.offer([told()])
    assert "X-Headrace-Signature" not in receiver.until(1)[0].headers
    bench.webhook.close()


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_it_is_tried_again_until_it_is_taken(receiver: Receiver, status: int) -> None:
    """The same bytes again, then the next alert; failures are counted, and the gauge falls and rises."""
    receiver.answers = [status, status]
    bench = Bench(receiver.url)
    bench.webhook.offer([told(0), told(1, "resolved")])
    got = receiver.until(4)
    assert got[0].body == got[1].body == got[2].body != got[3].body
    bench.webhook.close()
    assert (bench.count("failed"), bench.count("sent")) == (2, 2)
    assert bench.numbers.servers()["webhook"] == (True, 0)


@pytest.mark.parametrize("status", [400, 401, 404, 301])
def test_what_is_refused_is_given_up(receiver: Receiver, status: int) -> None:
    """It would be refused for ever: it is counted, the next one goes on; no redirect is followed."""
    receiver.answers = [status]
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    bench = Bench(receiver.url)
    bench.webhook.offer([told(0), told(1, "resolved")])
    assert [each.path for each in receiver.until(2)] == ["/hook?team=a"] * 2
    bench.webhook.close()
    assert (bench.count("refused"), bench.count("sent")) == (1, 1)


def test_a_server_that_hangs_does_not_hold_the_evaluation(receiver: Receiver) -> None:
    """Offers return while the server does not answer; what waits is seen, and all arrives when it does."""
    receiver.free.clear()
    bench = Bench(receiver.url)
    for minute in range(20):
        bench.webhook.offer([told(minute)])
    assert bench.numbers.servers()["webhook"][1] == 20
    receiver.free.set()
    receiver.until(20)
    bench.webhook.close()
    assert bench.numbers.servers()["webhook"] == (True, 0)


def test_nobody_there_is_a_failure_that_is_seen() -> None:
    """A refused connection is tried again, and the gauge says 0."""
    with receiving() as gone:
        url = gone.url
    bench = Bench(url)
    bench.webhook.offer([told()])
    wait_until(lambda: bench.count("failed") >= 2)
    assert bench.numbers.servers()["webhook"] == (False, 1)
    bench.webhook.close()


def test_a_certificate_is_checked(tmp_path: Path) -> None:
    """A server whose authority is unknown gets nothing, not even once; with the authority trusted it gets it."""
    authority = Certificates(tmp_path)
    with receiving(authority.sign("hook", "IP:127.0.0.1")) as receiver:
        bench = Bench(receiver.url)
        bench.webhook.offer([told()])
        wait_until(lambda: bench.count("failed") >= 2)
        bench.webhook.close()
        assert receiver.got == []
        trusting = Bench(receiver.url, trust=ssl.create_default_context(cafile=authority.ca))
        trusting.webhook.offer([told()])
        receiver.until(1)
        trusting.webhook.close()


def test_a_restart_neither_loses_nor_repeats(receiver: Receiver, tmp_path: Path) -> None:
    """What waited in the file is told by the next process; what was told is not, though it is offered again."""
    path = tmp_path / "webhook.sqlite"
    bench = Bench(receiver.url, path)
    bench.webhook.offer([told(0)])
    receiver.until(1)
    bench.webhook.close()
    waiting = Outbox(path)  # a process that is killed after it has put something
    waiting.put([(told(1).alert_id, b'{"n": 1}')])
    waiting.close()
    after = Bench(receiver.url, path)
    assert receiver.until(2)[1].json == {"n": 1}
    after.webhook.offer([told(0), told(1), told(2)])
    assert receiver.until(3)[2].json == as_json(told(2))
    after.webhook.close()
    assert len(receiver.got) == 3


def test_the_queue_is_bounded(receiver: Receiver) -> None:
    """Of too many the oldest are given up, and counted; the newest arrive."""
    receiver.free.clear()
    bench = Bench(receiver.url, waiting_max=5)
    bench.webhook.offer([told(minute) for minute in range(12)])
    assert bench.outbox.waiting() == 5
    assert bench.count("dropped") == 7
    receiver.free.set()
    wait_until(lambda: bench.outbox.waiting() == 0)
    bench.webhook.close()
    assert [each.json for each in receiver.got[-4:]] == [as_json(told(minute)) for minute in range(8, 12)]


def test_what_was_delivered_is_forgotten_at_last() -> None:
    """The file does not grow with the past."""
    outbox = Outbox(None, delivered_max=10)
    for number in range(50):
        outbox.put([(bytes([number]), b"x")])
        found = outbox.first()
        assert found is not None
        outbox.done(found[0])
    assert outbox.put([(bytes([45]), b"x"), (bytes([1]), b"again, as it is forgotten")]) == 0
    assert outbox.waiting() == 1


def test_a_file_that_cannot_be_used_is_put_aside(tmp_path: Path) -> None:
    """Garbage or a newer version: kept beside, begun anew; a folder that cannot be is an error that names it."""
    path = tmp_path / "webhook.sqlite"
    path.write_bytes(b"no database at all" * 100)
    Outbox(path).close()
    assert (tmp_path / "webhook.sqlite.broken").read_bytes().startswith(b"no database")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Outbox(tmp_path / "file" / "webhook.sqlite")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b",
        "a.example/hook",
        "http://",
        "http://u:p4ss@a/",
        "http://a:99999/",
        "http://a/b c",
        "http://a/\r\nX: 1",
    ],
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    """With the setting's name, and without the password that it may hold."""
    with pytest.raises(ValueError, match="--webhook: ") as error:
        endpoint("--webhook", url)
    assert "p4ss" not in str(error.value)


def test_waits_double_to_a_bound() -> None:
    """Between half and the whole of 1, 2, 4, 8, 8; the first again after a success."""
    draws: Iterator[float] = iter([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    draw: Callable[[], float] = draws.__next__
    backoff = Backoff(1, 8, draw)
    assert [backoff.failed() for _ in range(5)] == [0.5, 2, 2, 8, 8]
    backoff.worked()
    assert backoff.failed() == 1
