"""HTTP load for the sample app, and an independent count of what the app said it logged.

The plan is made from a seed and is always the same: how many requests of which kind. What became events is not taken
from the plan but from the app's answers, which say what emit() accepted; that count is the demo's "emitted".
"""

import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

TOPICS = ("pin", "follow", "login", "feed_load", "error")
PINS_A_REQUEST = 60
FOLLOWS_A_REQUEST = 10
THREADS = 6
# The load takes at least so long, so that the archiver commits several times before and after it is killed.
SECONDS_MIN = 15.0
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send. `body` is JSON, empty for a GET."""

    method: str
    path: str
    body: bytes = b""


def plan(pins: int, seed: int) -> list[Request]:
    """Return requests that save `pins` pins, and in proportion follow, log in and load feeds, in mixed order."""
    rng = random.Random(seed)  # noqa: S311 - varied requests, no secrets
    requests = [*_pins(pins, rng), *_follows(pins // 10, rng), *_logins(pins // 50, rng), *_feeds(pins // 50, rng)]
    rng.shuffle(requests)
    return requests


def _post(path: str, body: object) -> Request:
    return Request("POST", path, json.dumps(body).encode())


def _user(rng: random.Random) -> int:
    """Draw a user from 1 to 1000; a few are much more active than the rest, as in life."""
    return min(1000, int(rng.paretovariate(0.6)))


def _pins(count: int, rng: random.Random) -> list[Request]:
    requests = []
    while count > 0:
        size = min(count, PINS_A_REQUEST)
        pins = [rng.randrange(1, 2**40) * 10 + 7 for _ in range(size)]  # ends in 7, so never one that was taken down
        action = rng.choice(["SAVE", "SAVE", "SAVE", "CREATE", "LIKE"])
        board = rng.randrange(1, 5000) if rng.random() < 0.8 else None
        requests.append(_post(f"/users/{_user(rng)}/pins", {"pins": pins, "action": action, "board": board}))
        count -= size
        if rng.random() < 0.05:  # and now and then one that is gone: the app raises
            requests.append(_post(f"/users/{_user(rng)}/pins", {"pins": [300_000], "action": "SAVE"}))
    return requests


def _follows(count: int, rng: random.Random) -> list[Request]:
    requests = []
    while count > 0:
        size = min(count, FOLLOWS_A_REQUEST)
        users = [rng.randrange(1, 1001) for _ in range(size)]
        requests.append(_post(f"/users/{_user(rng)}/follows", {"users": users}))
        count -= size
    return requests


def _logins(count: int, rng: random.Random) -> list[Request]:
    requests = []
    for _ in range(count):
        user = rng.randrange(1, 1020)  # the last 20 don't exist
        password = f"open-{user}" if rng.random() < 0.85 else "let me in"
        requests.append(_post("/login", {"user": user, "password": password}))
    return requests


def _feeds(count: int, rng: random.Random) -> list[Request]:
    return [Request("GET", f"/users/{rng.randrange(1, 1001)}/feed") for _ in range(count)]


class Load:
    """Sends a plan with several keep-alive connections, in threads, and counts what the app answers.

    `emitted` counts accepted events by topic, `refused` those that emit() did not accept, `answers` the requests by
    HTTP status. All may be read while the load runs.
    """

    def __init__(self, port: int, requests: list[Request]) -> None:
        self.total = len(requests)
        self.emitted: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.error: Exception | None = None
        self._port = port
        self._waiting = enumerate(requests)
        self._began = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"load-{n}", daemon=True) for n in range(THREADS)]

    @property
    def sent(self) -> int:
        """How many requests were answered so far."""
        return self.answers.total()

    @property
    def refused(self) -> int:
        """How many events the app's emit() refused."""
        return self.emitted["refused"]

    def start(self) -> None:
        """Begin to send."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def done(self) -> bool:
        """Say whether all was sent. Raises what a connection failed with."""
        if self.error is not None:
            raise RuntimeError(f"the sample app on port {self._port} failed under load: {self.error!r}") from self.error
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Send no further request; wait for those on their way."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(TIMEOUT_S)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        try:
            while not self._stop.is_set():
                with self._lock:
                    place, request = next(self._waiting, (self.total, None))
                if request is None:
                    return
                due = self._began + SECONDS_MIN * place / self.total
                self._stop.wait(max(0.0, due - time.monotonic()))
                self._send(connection, request)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.error = error
            self._stop.set()
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, request: Request) -> None:
        headers = {"Content-Type": "application/json"} if request.body else {}
        connection.request(request.method, request.path, request.body, headers)
        response = connection.getresponse()
        response.read()
        told = response.getheader("X-Events")
        if told is None:
            raise ValueError(f"{request.method} {request.path} was answered {response.status} without X-Events")
        with self._lock:
            self.answers[response.status] += 1
            for part in filter(None, told.split(",")):
                name, _, count = part.partition("=")
                self.emitted[name] += int(count)
