"""A small sample web app that logs what its users do: the two lines of headrace in a Flask app.

The two lines are `log = EventLog.from_env(...)` below and `log.emit(...)` in a request. They are the same under every
server; the demo runs this file under gunicorn, which forks several workers after the module was imported:

    eval "$(headrace local env)"
    gunicorn --chdir examples --workers 3 --worker-class gthread --bind 127.0.0.1:8000 app:app

Each answer says in the header `X-Events` how many events emit() accepted while it was made (`pin=50,error=1`), so that
whoever drives the app knows what must be in the archive later.
"""

import hashlib
import time
import traceback
from collections import Counter

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from headrace.producer import EventLog
from headrace.schemas import Error, Event, FeedLoad, Follow, Login, Pin
from headrace.schemas.events import LoginFailure

log = EventLog.from_env(service="web")
app = Flask(__name__)

PASSWORDS = {user: f"open-{user}" for user in range(1, 1001)}
LOCKED_USERS = frozenset({13, 666})


def record(event: Event) -> None:
    """Log one event, and count it by type for the answer's header, or as `refused` when the queue was full."""
    g.events[event.TYPE if log.emit(event) else "refused"] += 1


@app.before_request
def begin() -> None:
    """Start counting this request's events."""
    g.events = Counter()


@app.after_request
def finish(response: Response) -> Response:
    """Tell the caller what was logged on the way."""
    response.headers["X-Events"] = ",".join(f"{name}={count}" for name, count in sorted(g.events.items()))
    return response


@app.get("/health")
def health() -> ResponseReturnValue:
    """Answer once the worker is up; logs nothing."""
    return {"ok": True}


@app.post("/users/<int:user>/pins")
def save_pins(user: int) -> ResponseReturnValue:
    """Save some pins to a board, as a browser extension does in one go. Pins that were taken down raise."""
    asked = request.get_json()
    for pin in asked["pins"]:
        if pin % 100_000 == 0:
            raise LookupError(f"pin {pin} was taken down")
        record(Pin(user_id=user, pin_id=pin, board_id=asked.get("board"), action=asked["action"]))
    return {"saved": len(asked["pins"])}, 201


@app.post("/users/<int:user>/follows")
def follow(user: int) -> ResponseReturnValue:
    """Follow some other users."""
    targets = request.get_json()["users"]
    for target in targets:
        record(Follow(user_id=user, target_id=target, target="USER", action="FOLLOW"))
    return {"following": len(targets)}, 201


@app.post("/login")
def login() -> ResponseReturnValue:
    """Check a password, and log the attempt whatever comes of it."""
    asked = request.get_json()
    user = asked["user"]
    failure: LoginFailure | None = None
    if user not in PASSWORDS:
        failure = "NO_SUCH_USER"
    elif user in LOCKED_USERS:
        failure = "LOCKED"
    elif PASSWORDS[user] != asked["password"]:
        failure = "BAD_CREDENTIALS"
    known = user if user in PASSWORDS else None
    record(Login(user_id=known, method="PASSWORD", success=failure is None, failure=failure))
    return ({"ok": True}, 200) if failure is None else ({"ok": False}, 401)


@app.get("/users/<int:user>/feed")
def feed(user: int) -> ResponseReturnValue:
    """Show a home feed. Ranking divides by what the user follows, which is a bug for those who follow nothing."""
    started = time.perf_counter()
    try:
        items = rank(user)
    except ArithmeticError:
        record(FeedLoad(user_id=user, kind="HOME", success=False, items=0, latency_ms=_ms_since(started)))
        raise
    record(FeedLoad(user_id=user, kind="HOME", success=True, items=len(items), latency_ms=_ms_since(started)))
    return {"pins": items}


def rank(user: int) -> list[int]:
    """Pick 25 pins. Users whose number ends in 99 follow nothing."""
    follows = 99 - user % 100
    return [(user * 7919 + place * (10_000 // follows)) % 1_000_003 for place in range(25)]


@app.errorhandler(Exception)
def failed(error: Exception) -> ResponseReturnValue:
    """Turn any exception that no view handled into an Error event and a plain 500."""
    if isinstance(error, HTTPException):
        return error
    frame = traceback.extract_tb(error.__traceback__)[-1]
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    record(
        Error(
            level="ERROR",
            message=str(error),
            exception_type=kind,
            stack="".join(traceback.format_exception(error)),
            fingerprint=hashlib.sha256(f"{kind} {frame.filename} {frame.name}".encode()).hexdigest()[:16],
            logger=app.name,
            path=request.url_rule.rule if request.url_rule else request.path,
        )
    )
    return {"error": "something went wrong"}, 500


def _ms_since(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)
