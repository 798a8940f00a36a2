"""Typed event classes. Made by `headrace schema generate`: change the .avsc files, not this one."""
# ruff: noqa
# fmt: off

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Literal

from headrace.schemas import binary as _b
from headrace.schemas.event import Event


AuditReporter = Literal["UNKNOWN", "OWN", "ADOPTER"]
_AuditReporter = _b.symbol_table(('UNKNOWN', 'OWN', 'ADOPTER'))
AuditDurability = Literal["UNKNOWN", "MEMORY", "DISK"]
_AuditDurability = _b.symbol_table(('UNKNOWN', 'MEMORY', 'DISK'))


class Audit(Event):
    """What became of the numbers of one session in one topic, as far as its reporter knows."""

    __slots__ = ()
    TYPE = 'audit'
    FIELDS = ('about_session', 'about_topic', 'reporter', 'closed', 'durability', 'since', 'first_seq', 'last_seq', 'accepted', 'acked', 'waiting', 'dropped', 'lost_from', 'lost_to', 'lost_reason', 'dropped_elsewhere', 'seconds_until_drop')
    FINGERPRINT = bytes.fromhex('4fbb3c3800332725')
    SCHEMA = '{"type":"record","name":"Audit","namespace":"headrace","key":"about_session","fields":[{"name":"event_id","type":{"type":"fixed","name":"EventId","size":16}},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"service","type":"string"},{"name":"host","type":"string"},{"name":"session_id","type":{"type":"fixed","name":"SessionId","size":16}},{"name":"seq","type":"long"},{"name":"trace_id","type":["null",{"type":"fixed","name":"TraceId","size":16}],"default":null},{"name":"about_session","type":{"type":"fixed","name":"AboutSession","size":16}},{"name":"about_topic","type":"string"},{"name":"reporter","type":{"type":"enum","name":"AuditReporter","symbols":["UNKNOWN","OWN","ADOPTER"],"default":"UNKNOWN"}},{"name":"closed","type":"boolean"},{"name":"durability","type":{"type":"enum","name":"AuditDurability","symbols":["UNKNOWN","MEMORY","DISK"],"default":"UNKNOWN"}},{"name":"since","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"first_seq","type":"long"},{"name":"last_seq","type":"long"},{"name":"accepted","type":"long"},{"name":"acked","type":"long"},{"name":"waiting","type":"long"},{"name":"dropped","type":{"type":"map","values":"long"}},{"name":"lost_from","type":{"type":"array","items":"long"}},{"name":"lost_to","type":{"type":"array","items":"long"}},{"name":"lost_reason","type":{"type":"array","items":"string"}},{"name":"dropped_elsewhere","type":{"type":"map","values":"long"}},{"name":"seconds_until_drop","type":["null","double"],"default":null}]}'

    def __init__(
        self,
        *,
        about_session: bytes,
        about_topic: str,
        reporter: AuditReporter,
        closed: bool,
        durability: AuditDurability,
        since: datetime,
        first_seq: int,
        last_seq: int,
        accepted: int,
        acked: int,
        waiting: int,
        dropped: Mapping[str, int],
        lost_from: Sequence[int],
        lost_to: Sequence[int],
        lost_reason: Sequence[str],
        dropped_elsewhere: Mapping[str, int],
        seconds_until_drop: float | None = None,
        occurred_at: datetime | None = None,
        trace_id: bytes | None = None,
    ) -> None:
        if isinstance(dropped, dict):
            dropped = MappingProxyType(dict(dropped))
        if isinstance(lost_from, list):
            lost_from = tuple(lost_from)
        if isinstance(lost_to, list):
            lost_to = tuple(lost_to)
        if isinstance(lost_reason, list):
            lost_reason = tuple(lost_reason)
        if isinstance(dropped_elsewhere, dict):
            dropped_elsewhere = MappingProxyType(dict(dropped_elsewhere))
        own = (
            _b.put_fixed("audit.about_session", about_session, 16)
            + _b.put_string("audit.about_topic", about_topic)
            + _b.put_symbol("audit.reporter", reporter, _AuditReporter)
            + _b.put_boolean("audit.closed", closed)
            + _b.put_symbol("audit.durability", durability, _AuditDurability)
            + _b.put_timestamp_micros("audit.since", since)
            + _b.put_long("audit.first_seq", first_seq)
            + _b.put_long("audit.last_seq", last_seq)
            + _b.put_long("audit.accepted", accepted)
            + _b.put_long("audit.acked", acked)
            + _b.put_long("audit.waiting", waiting)
            + _b.put_map("audit.dropped", dropped, lambda w, v: _b.put_long(w, v))
            + _b.put_array("audit.lost_from", lost_from, lambda w, v: _b.put_long(w, v))
            + _b.put_array("audit.lost_to", lost_to, lambda w, v: _b.put_long(w, v))
            + _b.put_array("audit.lost_reason", lost_reason, lambda w, v: _b.put_string(w, v))
            + _b.put_map("audit.dropped_elsewhere", dropped_elsewhere, lambda w, v: _b.put_long(w, v))
            + (_b.NULL if seconds_until_drop is None else _b.SOME + _b.put_double("audit.seconds_until_drop", seconds_until_drop))
        )
        self._seal(own, (about_session, about_topic, reporter, closed, durability, since, first_seq, last_seq, accepted, acked, waiting, dropped, lost_from, lost_to, lost_reason, dropped_elsewhere, seconds_until_drop, occurred_at, trace_id))

    @property
    def about_session(self) -> bytes:
        """the session_id of the events it tells of; not its own where a dead process's spool was adopted"""
        return self._values[0]  # type: ignore[no-any-return] # set by __init__

    @property
    def about_topic(self) -> str:
        """the topic of the events it tells of"""
        return self._values[1]  # type: ignore[no-any-return] # set by __init__

    @property
    def reporter(self) -> AuditReporter:
        """the session itself, or who adopted its spool"""
        return self._values[2]  # type: ignore[no-any-return] # set by __init__

    @property
    def closed(self) -> bool:
        """whether the session ended and nothing of it waits in a spool, as far as the reporter knows"""
        return self._values[3]  # type: ignore[no-any-return] # set by __init__

    @property
    def durability(self) -> AuditDurability:
        """where the session's events wait"""
        return self._values[4]  # type: ignore[no-any-return] # set by __init__

    @property
    def since(self) -> datetime:
        """when the reporter told of it before, or began"""
        return self._values[5]  # type: ignore[no-any-return] # set by __init__

    @property
    def first_seq(self) -> int:
        """the lowest number that was given out since; 0: none was"""
        return self._values[6]  # type: ignore[no-any-return] # set by __init__

    @property
    def last_seq(self) -> int:
        """the highest number that was given out so far; 0: none was"""
        return self._values[7]  # type: ignore[no-any-return] # set by __init__

    @property
    def accepted(self) -> int:
        """events that emit() accepted so far; of an adopter: that it found"""
        return self._values[8]  # type: ignore[no-any-return] # set by __init__

    @property
    def acked(self) -> int:
        """of these, acknowledged by Kafka so far"""
        return self._values[9]  # type: ignore[no-any-return] # set by __init__

    @property
    def waiting(self) -> int:
        """of these, neither acknowledged nor lost yet"""
        return self._values[10]  # type: ignore[no-any-return] # set by __init__

    @property
    def dropped(self) -> Mapping[str, int]:
        """numbers that will never arrive, so far, by reason"""
        return self._values[11]  # type: ignore[no-any-return] # set by __init__

    @property
    def lost_from(self) -> tuple[int, ...]:
        """which numbers these are, those found since: ranges' first numbers"""
        return self._values[12]  # type: ignore[no-any-return] # set by __init__

    @property
    def lost_to(self) -> tuple[int, ...]:
        """the ranges' last numbers"""
        return self._values[13]  # type: ignore[no-any-return] # set by __init__

    @property
    def lost_reason(self) -> tuple[str, ...]:
        """the ranges' reasons"""
        return self._values[14]  # type: ignore[no-any-return] # set by __init__

    @property
    def dropped_elsewhere(self) -> Mapping[str, int]:
        """lost in the whole session so far, by reason, where number and topic are not known or there was none"""
        return self._values[15]  # type: ignore[no-any-return] # set by __init__

    @property
    def seconds_until_drop(self) -> float | None:
        """until the queue would drop events of the lowest class, at the present growth; null: not growing"""
        return self._values[16]  # type: ignore[no-any-return] # set by __init__

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key: about_session."""
        return self.about_session


ErrorLevel = Literal["UNKNOWN", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
_ErrorLevel = _b.symbol_table(('UNKNOWN', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'))


class Error(Event):
    """A service hit an error."""

    __slots__ = ()
    TYPE = 'error'
    FIELDS = ('level', 'message', 'exception_type', 'stack', 'fingerprint', 'logger', 'path', 'user_id')
    FINGERPRINT = bytes.fromhex('de03009276e756ee')
    SCHEMA = '{"type":"record","name":"Error","namespace":"headrace","key":"service","fields":[{"name":"event_id","type":{"type":"fixed","name":"EventId","size":16}},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"service","type":"string"},{"name":"host","type":"string"},{"name":"session_id","type":{"type":"fixed","name":"SessionId","size":16}},{"name":"seq","type":"long"},{"name":"trace_id","type":["null",{"type":"fixed","name":"TraceId","size":16}],"default":null},{"name":"level","type":{"type":"enum","name":"ErrorLevel","symbols":["UNKNOWN","DEBUG","INFO","WARNING","ERROR","CRITICAL"],"default":"UNKNOWN"}},{"name":"message","type":"string"},{"name":"exception_type","type":["null","string"],"default":null},{"name":"stack","type":["null","string"],"default":null},{"name":"fingerprint","type":["null","string"],"default":null},{"name":"logger","type":["null","string"],"default":null},{"name":"path","type":["null","string"],"default":null},{"name":"user_id","type":["null","long"],"default":null}]}'

    def __init__(
        self,
        *,
        level: ErrorLevel,
        message: str,
        exception_type: str | None = None,
        stack: str | None = None,
        fingerprint: str | None = None,
        logger: str | None = None,
        path: str | None = None,
        user_id: int | None = None,
        occurred_at: datetime | None = None,
        trace_id: bytes | None = None,
    ) -> None:
        own = (
            _b.put_symbol("error.level", level, _ErrorLevel)
            + _b.put_string("error.message", message)
            + (_b.NULL if exception_type is None else _b.SOME + _b.put_string("error.exception_type", exception_type))
            + (_b.NULL if stack is None else _b.SOME + _b.put_string("error.stack", stack))
            + (_b.NULL if fingerprint is None else _b.SOME + _b.put_string("error.fingerprint", fingerprint))
            + (_b.NULL if logger is None else _b.SOME + _b.put_string("error.logger", logger))
            + (_b.NULL if path is None else _b.SOME + _b.put_string("error.path", path))
            + (_b.NULL if user_id is None else _b.SOME + _b.put_long("error.user_id", user_id))
        )
        self._seal(own, (level, message, exception_type, stack, fingerprint, logger, path, user_id, occurred_at, trace_id))

    @property
    def level(self) -> ErrorLevel:
        """how bad it is"""
        return self._values[0]  # type: ignore[no-any-return] # set by __init__

    @property
    def message(self) -> str:
        """what the program said"""
        return self._values[1]  # type: ignore[no-any-return] # set by __init__

    @property
    def exception_type(self) -> str | None:
        """the exception's class, with its module"""
        return self._values[2]  # type: ignore[no-any-return] # set by __init__

    @property
    def stack(self) -> str | None:
        """the stack trace, innermost call last"""
        return self._values[3]  # type: ignore[no-any-return] # set by __init__

    @property
    def fingerprint(self) -> str | None:
        """the same for occurrences of the same error"""
        return self._values[4]  # type: ignore[no-any-return] # set by __init__

    @property
    def logger(self) -> str | None:
        """the logger or component"""
        return self._values[5]  # type: ignore[no-any-return] # set by __init__

    @property
    def path(self) -> str | None:
        """the route or job that was running"""
        return self._values[6]  # type: ignore[no-any-return] # set by __init__

    @property
    def user_id(self) -> int | None:
        """whose request it was"""
        return self._values[7]  # type: ignore[no-any-return] # set by __init__

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key: service."""
        return service.encode()


FeedLoadKind = Literal["UNKNOWN", "HOME", "FOLLOWING", "SEARCH", "BOARD", "RELATED"]
_FeedLoadKind = _b.symbol_table(('UNKNOWN', 'HOME', 'FOLLOWING', 'SEARCH', 'BOARD', 'RELATED'))


class FeedLoad(Event):
    """A feed was loaded for someone."""

    __slots__ = ()
    TYPE = 'feed_load'
    FIELDS = ('user_id', 'kind', 'success', 'items', 'latency_ms', 'cached')
    FINGERPRINT = bytes.fromhex('617a8544f1e4aeef')
    SCHEMA = '{"type":"record","name":"FeedLoad","namespace":"headrace","key":"user_id","fields":[{"name":"event_id","type":{"type":"fixed","name":"EventId","size":16}},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"service","type":"string"},{"name":"host","type":"string"},{"name":"session_id","type":{"type":"fixed","name":"SessionId","size":16}},{"name":"seq","type":"long"},{"name":"trace_id","type":["null",{"type":"fixed","name":"TraceId","size":16}],"default":null},{"name":"user_id","type":["null","long"],"default":null},{"name":"kind","type":{"type":"enum","name":"FeedKind","symbols":["UNKNOWN","HOME","FOLLOWING","SEARCH","BOARD","RELATED"],"default":"UNKNOWN"}},{"name":"success","type":"boolean"},{"name":"items","type":"int"},{"name":"latency_ms","type":"int"},{"name":"cached","type":"boolean","default":false}]}'

    def __init__(
        self,
        *,
        user_id: int | None = None,
        kind: FeedLoadKind,
        success: bool,
        items: int,
        latency_ms: int,
        cached: bool = False,
        occurred_at: datetime | None = None,
        trace_id: bytes | None = None,
    ) -> None:
        own = (
            (_b.NULL if user_id is None else _b.SOME + _b.put_long("feed_load.user_id", user_id))
            + _b.put_symbol("feed_load.kind", kind, _FeedLoadKind)
            + _b.put_boolean("feed_load.success", success)
            + _b.put_int("feed_load.items", items)
            + _b.put_int("feed_load.latency_ms", latency_ms)
            + _b.put_boolean("feed_load.cached", cached)
        )
        self._seal(own, (user_id, kind, success, items, latency_ms, cached, occurred_at, trace_id))

    @property
    def user_id(self) -> int | None:
        """for whom, when logged in"""
        return self._values[0]  # type: ignore[no-any-return] # set by __init__

    @property
    def kind(self) -> FeedLoadKind:
        """which feed"""
        return self._values[1]  # type: ignore[no-any-return] # set by __init__

    @property
    def success(self) -> bool:
        """whether a feed could be shown"""
        return self._values[2]  # type: ignore[no-any-return] # set by __init__

    @property
    def items(self) -> int:
        """how many items it held"""
        return self._values[3]  # type: ignore[no-any-return] # set by __init__

    @property
    def latency_ms(self) -> int:
        """how long it took the server, in milliseconds"""
        return self._values[4]  # type: ignore[no-any-return] # set by __init__

    @property
    def cached(self) -> bool:
        """whether it came from a cache"""
        return self._values[5]  # type: ignore[no-any-return] # set by __init__

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key: user_id."""
        if self.user_id is None:
            return None
        return b"%d" % self.user_id


FollowTarget = Literal["UNKNOWN", "USER", "BOARD", "TOPIC"]
_FollowTarget = _b.symbol_table(('UNKNOWN', 'USER', 'BOARD', 'TOPIC'))
FollowAction = Literal["UNKNOWN", "FOLLOW", "UNFOLLOW"]
_FollowAction = _b.symbol_table(('UNKNOWN', 'FOLLOW', 'UNFOLLOW'))


class Follow(Event):
    """A user followed or unfollowed something."""

    __slots__ = ()
    TYPE = 'follow'
    FIELDS = ('user_id', 'target_id', 'target', 'action')
    FINGERPRINT = bytes.fromhex('c87a6cf498c0a40a')
    SCHEMA = '{"type":"record","name":"Follow","namespace":"headrace","key":"user_id","fields":[{"name":"event_id","type":{"type":"fixed","name":"EventId","size":16}},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"service","type":"string"},{"name":"host","type":"string"},{"name":"session_id","type":{"type":"fixed","name":"SessionId","size":16}},{"name":"seq","type":"long"},{"name":"trace_id","type":["null",{"type":"fixed","name":"TraceId","size":16}],"default":null},{"name":"user_id","type":"long"},{"name":"target_id","type":"long"},{"name":"target","type":{"type":"enum","name":"FollowTarget","symbols":["UNKNOWN","USER","BOARD","TOPIC"],"default":"UNKNOWN"}},{"name":"action","type":{"type":"enum","name":"FollowAction","symbols":["UNKNOWN","FOLLOW","UNFOLLOW"],"default":"UNKNOWN"}}]}'

    def __init__(
        self,
        *,
        user_id: int,
        target_id: int,
        target: FollowTarget,
        action: FollowAction,
        occurred_at: datetime | None = None,
        trace_id: bytes | None = None,
    ) -> None:
        own = (
            _b.put_long("follow.user_id", user_id)
            + _b.put_long("follow.target_id", target_id)
            + _b.put_symbol("follow.target", target, _FollowTarget)
            + _b.put_symbol("follow.action", action, _FollowAction)
        )
        self._seal(own, (user_id, target_id, target, action, occurred_at, trace_id))

    @property
    def user_id(self) -> int:
        """who did it"""
        return self._values[0]  # type: ignore[no-any-return] # set by __init__

    @property
    def target_id(self) -> int:
        """the user, board or topic"""
        return self._values[1]  # type: ignore[no-any-return] # set by __init__

    @property
    def target(self) -> FollowTarget:
        """what kind of thing target_id is"""
        return self._values[2]  # type: ignore[no-any-return] # set by __init__

    @property
    def action(self) -> FollowAction:
        """what was done"""
        return self._values[3]  # type: ignore[no-any-return] # set by __init__

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key: user_id."""
        return b"%d" % self.user_id


LoginMethod = Literal["UNKNOWN", "PASSWORD", "GOOGLE", "FACEBOOK", "APPLE", "SSO", "TOKEN"]
_LoginMethod = _b.symbol_table(('UNKNOWN', 'PASSWORD', 'GOOGLE', 'FACEBOOK', 'APPLE', 'SSO', 'TOKEN'))
LoginFailure = Literal["UNKNOWN", "BAD_CREDENTIALS", "NO_SUCH_USER", "LOCKED", "RATE_LIMITED", "SECOND_FACTOR", "PROVIDER", "INTERNAL"]
_LoginFailure = _b.symbol_table(('UNKNOWN', 'BAD_CREDENTIALS', 'NO_SUCH_USER', 'LOCKED', 'RATE_LIMITED', 'SECOND_FACTOR', 'PROVIDER', 'INTERNAL'))


class Login(Event):
    """Someone tried to log in."""

    __slots__ = ()
    TYPE = 'login'
    FIELDS = ('user_id', 'method', 'success', 'failure')
    FINGERPRINT = bytes.fromhex('eba7d0aceda32089')
    SCHEMA = '{"type":"record","name":"Login","namespace":"headrace","key":"user_id","fields":[{"name":"event_id","type":{"type":"fixed","name":"EventId","size":16}},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"service","type":"string"},{"name":"host","type":"string"},{"name":"session_id","type":{"type":"fixed","name":"SessionId","size":16}},{"name":"seq","type":"long"},{"name":"trace_id","type":["null",{"type":"fixed","name":"TraceId","size":16}],"default":null},{"name":"user_id","type":["null","long"],"default":null},{"name":"method","type":{"type":"enum","name":"LoginMethod","symbols":["UNKNOWN","PASSWORD","GOOGLE","FACEBOOK","APPLE","SSO","TOKEN"],"default":"UNKNOWN"}},{"name":"success","type":"boolean"},{"name":"failure","type":["null",{"type":"enum","name":"LoginFailure","symbols":["UNKNOWN","BAD_CREDENTIALS","NO_SUCH_USER","LOCKED","RATE_LIMITED","SECOND_FACTOR","PROVIDER","INTERNAL"],"default":"UNKNOWN"}],"default":null}]}'

    def __init__(
        self,
        *,
        user_id: int | None = None,
        method: LoginMethod,
        success: bool,
        failure: LoginFailure | None = None,
        occurred_at: datetime | None = None,
        trace_id: bytes | None = None,
    ) -> None:
        own = (
            (_b.NULL if user_id is None else _b.SOME + _b.put_long("login.user_id", user_id))
            + _b.put_symbol("login.method", method, _LoginMethod)
            + _b.put_boolean("login.success", success)
            + (_b.NULL if failure is None else _b.SOME + _b.put_symbol("login.failure", failure, _LoginFailure))
        )
        self._seal(own, (user_id, method, success, failure, occurred_at, trace_id))

    @property
    def user_id(self) -> int | None:
        """who, when the account is known"""
        return self._values[0]  # type: ignore[no-any-return] # set by __init__

    @property
    def method(self) -> LoginMethod:
        """how"""
        return self._values[1]  # type: ignore[no-any-return] # set by __init__

    @property
    def success(self) -> bool:
        """whether they got in"""
        return self._values[2]  # type: ignore[no-any-return] # set by __init__

    @property
    def failure(self) -> LoginFailure | None:
        """why not, when they did not"""
        return self._values[3]  # type: ignore[no-any-return] # set by __init__

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key: user_id."""
        if self.user_id is None:
            return None
        return b"%d" % self.user_id


PinAction = Literal["UNKNOWN", "CREATE", "SAVE", "LIKE", "UNLIKE", "COMMENT", "SHARE", "CLICK", "HIDE", "DELETE"]
_PinAction = _b.symbol_table(('UNKNOWN', 'CREATE', 'SAVE', 'LIKE', 'UNLIKE', 'COMMENT', 'SHARE', 'CLICK', 'HIDE', 'DELETE'))


class Pin(Event):
    """A user did something with a pin."""

    __slots__ = ()
    TYPE = 'pin'
    FIELDS = ('user_id', 'pin_id', 'board_id', 'action')
    FINGERPRINT = bytes.fromhex('b1ae88deceb78571')
    SCHEMA = '{"type":"record","name":"Pin","namespace":"headrace","key":"user_id","fields":[{"name":"event_id","type":{"type":"fixed","name":"EventId","size":16}},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"service","type":"string"},{"name":"host","type":"string"},{"name":"session_id","type":{"type":"fixed","name":"SessionId","size":16}},{"name":"seq","type":"long"},{"name":"trace_id","type":["null",{"type":"fixed","name":"TraceId","size":16}],"default":null},{"name":"user_id","type":"long"},{"name":"pin_id","type":"long"},{"name":"board_id","type":["null","long"],"default":null},{"name":"action","type":{"type":"enum","name":"PinAction","symbols":["UNKNOWN","CREATE","SAVE","LIKE","UNLIKE","COMMENT","SHARE","CLICK","HIDE","DELETE"],"default":"UNKNOWN"}}]}'

    def __init__(
        self,
        *,
        user_id: int,
        pin_id: int,
        board_id: int | None = None,
        action: PinAction,
        occurred_at: datetime | None = None,
        trace_id: bytes | None = None,
    ) -> None:
        own = (
            _b.put_long("pin.user_id", user_id)
            + _b.put_long("pin.pin_id", pin_id)
            + (_b.NULL if board_id is None else _b.SOME + _b.put_long("pin.board_id", board_id))
            + _b.put_symbol("pin.action", action, _PinAction)
        )
        self._seal(own, (user_id, pin_id, board_id, action, occurred_at, trace_id))

    @property
    def user_id(self) -> int:
        """who did it"""
        return self._values[0]  # type: ignore[no-any-return] # set by __init__

    @property
    def pin_id(self) -> int:
        """the pin"""
        return self._values[1]  # type: ignore[no-any-return] # set by __init__

    @property
    def board_id(self) -> int | None:
        """the board it was saved to or found on"""
        return self._values[2]  # type: ignore[no-any-return] # set by __init__

    @property
    def action(self) -> PinAction:
        """what was done"""
        return self._values[3]  # type: ignore[no-any-return] # set by __init__

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key: user_id."""
        return b"%d" % self.user_id


__all__ = [
    "Audit",
    "AuditDurability",
    "AuditReporter",
    "Error",
    "ErrorLevel",
    "FeedLoad",
    "FeedLoadKind",
    "Follow",
    "FollowAction",
    "FollowTarget",
    "Login",
    "LoginFailure",
    "LoginMethod",
    "Pin",
    "PinAction",
]
