"""Typed event classes. Made by `headrace schema generate`: change the .avsc files, not this one."""
# ruff: noqa
# fmt: off

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Literal

from headrace.schemas import binary as _b
from headrace.schemas import binary_collections as _c
from headrace.schemas.event import Event
from headrace.schemas.event import set_own as _set_own
from headrace.schemas.event import set_values as _set_values
from headrace.schemas.personal import PersonalEvent
from headrace.schemas.personal import set_has_tokens as _set_has_tokens

# Fields may have the names of builtins, so that the classes use these.
_type, _isinstance, _len = type, isinstance, len
_bool, _int, _float, _bytes, _str, _tuple, _list, _dict = bool, int, float, bytes, str, tuple, list, dict
_date, _datetime = date, datetime
_L, _M = _b.LAST, _b.MORE


AlertState = Literal["UNKNOWN", "FIRING", "STILL_FIRING", "RESOLVED"]
_AlertState = _b.symbol_table(('UNKNOWN', 'FIRING', 'STILL_FIRING', 'RESOLVED'))


class Alert(Event):
    """A monitoring rule's alert that began, goes on, or ended."""

    __slots__ = ()
    TYPE = 'alert'
    FIELDS = ('alert_id', 'fingerprint', 'rule', 'state', 'severity', 'labels', 'value', 'expected_low', 'expected_high', 'message', 'runbook', 'window_start', 'window_end', 'began', 'decided_at')
    FINGERPRINT = bytes.fromhex('207fe291567f2d25')
    SCHEMA = '{"type":"record","name":"Alert","namespace":"headrace","key":"fingerprint","fields":[{"name":"event_id","type":{"type":"fixed","name":"EventId","size":16}},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"service","type":"string"},{"name":"host","type":"string"},{"name":"session_id","type":{"type":"fixed","name":"SessionId","size":16}},{"name":"seq","type":"long"},{"name":"trace_id","type":["null",{"type":"fixed","name":"TraceId","size":16}],"default":null},{"name":"alert_id","type":{"type":"fixed","name":"AlertId","size":16}},{"name":"fingerprint","type":"string"},{"name":"rule","type":"string"},{"name":"state","type":{"type":"enum","name":"AlertState","symbols":["UNKNOWN","FIRING","STILL_FIRING","RESOLVED"],"default":"UNKNOWN"}},{"name":"severity","type":"string"},{"name":"labels","type":{"type":"map","values":"string"}},{"name":"value","type":"double"},{"name":"expected_low","type":["null","double"],"default":null},{"name":"expected_high","type":["null","double"],"default":null},{"name":"message","type":"string"},{"name":"runbook","type":"string"},{"name":"window_start","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"window_end","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"began","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"decided_at","type":{"type":"long","logicalType":"timestamp-micros"}}]}'

    def __init__(
        self,
        *,
        alert_id: bytes,
        fingerprint: str,
        rule: str,
        state: AlertState,
        severity: str,
        labels: Mapping[str, str],
        value: float,
        expected_low: float | None = None,
        expected_high: float | None = None,
        message: str,
        runbook: str,
        window_start: datetime,
        window_end: datetime,
        began: datetime,
        decided_at: datetime,
        occurred_at: datetime | None = None,
        trace_id: bytes | None = None,
    ) -> None:
        _0 = _b.put_fixed("alert.alert_id", alert_id, 16)
        _1 = _b.put_string("alert.fingerprint", fingerprint)
        _2 = _b.put_string("alert.rule", rule)
        if _type(state) is _str and state in _AlertState:
            _3 = _AlertState[state]
        else:
            _3 = _b.put_symbol("alert.state", state, _AlertState)
        _4 = _b.put_string("alert.severity", severity)
        if _isinstance(labels, Mapping):
            labels = _dict(labels)
        _5 = _c.put_map("alert.labels", labels, _b.put_string)
        _6 = _b.put_double("alert.value", value)
        _7 = _b.NULL if expected_low is None else _b.SOME + _b.put_double("alert.expected_low", expected_low)
        _8 = _b.NULL if expected_high is None else _b.SOME + _b.put_double("alert.expected_high", expected_high)
        _9 = _b.put_string("alert.message", message)
        _10 = _b.put_string("alert.runbook", runbook)
        _11 = _b.put_timestamp_micros("alert.window_start", window_start)
        _12 = _b.put_timestamp_micros("alert.window_end", window_end)
        _13 = _b.put_timestamp_micros("alert.began", began)
        _14 = _b.put_timestamp_micros("alert.decided_at", decided_at)
        _own = b"".join((_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14))
        if occurred_at is not None or trace_id is not None or _len(_own) > 900000:
            self._check(_own, occurred_at, trace_id)
        _set_values(self, (alert_id, fingerprint, rule, state, severity, MappingProxyType(labels), value, expected_low, expected_high, message, runbook, window_start, window_end, began, decided_at, occurred_at, trace_id))
        _set_own(self, _own)

    @property
    def alert_id(self) -> bytes:
        """made of fingerprint, state and window_end: the same when the same is told again"""
        return self._values[0]  # type: ignore[no-any-return] # set by __init__

    @property
    def fingerprint(self) -> str:
        """names the alert of one rule with these labels, for ever: 16 hexadecimal digits"""
        return self._values[1]  # type: ignore[no-any-return] # set by __init__

    @property
    def rule(self) -> str:
        """the rule's name"""
        return self._values[2]  # type: ignore[no-any-return] # set by __init__

    @property
    def state(self) -> AlertState:
        """what became of the alert"""
        return self._values[3]  # type: ignore[no-any-return] # set by __init__

    @property
    def severity(self) -> str:
        """as the rule says"""
        return self._values[4]  # type: ignore[no-any-return] # set by __init__

    @property
    def labels(self) -> Mapping[str, str]:
        """the values of the fields that the rule groups by"""
        return self._values[5]  # type: ignore[no-any-return] # set by __init__

    @property
    def value(self) -> float:
        """of the window that decided"""
        return self._values[6]  # type: ignore[no-any-return] # set by __init__

    @property
    def expected_low(self) -> float | None:
        """the baseline's lower bound; null: the rule has no baseline"""
        return self._values[7]  # type: ignore[no-any-return] # set by __init__

    @property
    def expected_high(self) -> float | None:
        """the baseline's upper bound; null: the rule has no baseline"""
        return self._values[8]  # type: ignore[no-any-return] # set by __init__

    @property
    def message(self) -> str:
        """the rule's message, filled in"""
        return self._values[9]  # type: ignore[no-any-return] # set by __init__

    @property
    def runbook(self) -> str:
        """where the rule says what to do; empty: nowhere"""
        return self._values[10]  # type: ignore[no-any-return] # set by __init__

    @property
    def window_start(self) -> datetime:
        """start of the window that decided, event time"""
        return self._values[11]  # type: ignore[no-any-return] # set by __init__

    @property
    def window_end(self) -> datetime:
        """end of that window, exclusive"""
        return self._values[12]  # type: ignore[no-any-return] # set by __init__

    @property
    def began(self) -> datetime:
        """end of the window in which the alert began to fire"""
        return self._values[13]  # type: ignore[no-any-return] # set by __init__

    @property
    def decided_at(self) -> datetime:
        """event time at which it was decided"""
        return self._values[14]  # type: ignore[no-any-return] # set by __init__

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key: fingerprint."""
        return self.fingerprint.encode()


AuditReporter = Literal["UNKNOWN", "OWN", "ADOPTER"]
_AuditReporter = _b.symbol_table(('UNKNOWN', 'OWN', 'ADOPTER'))
AuditDurability = Literal["UNKNOWN", "MEMORY", "DISK"]
_AuditDurability = _b.symbol_table(('UNKNOWN', 'MEMORY', 'DISK'))
_AuditGroup11 = _c.Group(('dropped', 'map', _b.put_long), ('lost_from', 'array', _b.put_long), ('lost_to', 'array', _b.put_long), ('lost_reason', 'array', _b.put_string), ('dropped_elsewhere', 'map', _b.put_long))


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
        _0 = _b.put_fixed("audit.about_session", about_session, 16)
        _1 = _b.put_string("audit.about_topic", about_topic)
        if _type(reporter) is _str and reporter in _AuditReporter:
            _2 = _AuditReporter[reporter]
        else:
            _2 = _b.put_symbol("audit.reporter", reporter, _AuditReporter)
        if closed is True or closed is False:
            _3 = b"\x01" if closed else b"\x00"
        else:
            _3 = _b.put_boolean("audit.closed", closed)
        if _type(durability) is _str and durability in _AuditDurability:
            _4 = _AuditDurability[durability]
        else:
            _4 = _b.put_symbol("audit.durability", durability, _AuditDurability)
        _5 = _b.put_timestamp_micros("audit.since", since)
        if _type(first_seq) is _int and -9223372036854775808 <= first_seq <= 9223372036854775807:
            _n = first_seq << 1 if first_seq >= 0 else ~(first_seq << 1)
            _6 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(first_seq)
        else:
            _6 = _b.put_long("audit.first_seq", first_seq)
        if _type(last_seq) is _int and -9223372036854775808 <= last_seq <= 9223372036854775807:
            _n = last_seq << 1 if last_seq >= 0 else ~(last_seq << 1)
            _7 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(last_seq)
        else:
            _7 = _b.put_long("audit.last_seq", last_seq)
        if _type(accepted) is _int and -9223372036854775808 <= accepted <= 9223372036854775807:
            _n = accepted << 1 if accepted >= 0 else ~(accepted << 1)
            _8 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(accepted)
        else:
            _8 = _b.put_long("audit.accepted", accepted)
        if _type(acked) is _int and -9223372036854775808 <= acked <= 9223372036854775807:
            _n = acked << 1 if acked >= 0 else ~(acked << 1)
            _9 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(acked)
        else:
            _9 = _b.put_long("audit.acked", acked)
        if _type(waiting) is _int and -9223372036854775808 <= waiting <= 9223372036854775807:
            _n = waiting << 1 if waiting >= 0 else ~(waiting << 1)
            _10 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(waiting)
        else:
            _10 = _b.put_long("audit.waiting", waiting)
        if _isinstance(dropped, Mapping):
            dropped = _dict(dropped)
        if _isinstance(lost_from, _list):
            lost_from = _tuple(lost_from)
        if _isinstance(lost_to, _list):
            lost_to = _tuple(lost_to)
        if _isinstance(lost_reason, _list):
            lost_reason = _tuple(lost_reason)
        if _isinstance(dropped_elsewhere, Mapping):
            dropped_elsewhere = _dict(dropped_elsewhere)
        _11 = _AuditGroup11.encode('audit', dropped, lost_from, lost_to, lost_reason, dropped_elsewhere)
        _16 = _b.NULL if seconds_until_drop is None else _b.SOME + _b.put_double("audit.seconds_until_drop", seconds_until_drop)
        _own = b"".join((_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _16))
        if occurred_at is not None or trace_id is not None or _len(_own) > 900000:
            self._check(_own, occurred_at, trace_id)
        _set_values(self, (about_session, about_topic, reporter, closed, durability, since, first_seq, last_seq, accepted, acked, waiting, MappingProxyType(dropped), lost_from, lost_to, lost_reason, MappingProxyType(dropped_elsewhere), seconds_until_drop, occurred_at, trace_id))
        _set_own(self, _own)

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
        if _type(level) is _str and level in _ErrorLevel:
            _0 = _ErrorLevel[level]
        else:
            _0 = _b.put_symbol("error.level", level, _ErrorLevel)
        _1 = _b.put_string("error.message", message)
        _2 = _b.NULL if exception_type is None else _b.SOME + _b.put_string("error.exception_type", exception_type)
        _3 = _b.NULL if stack is None else _b.SOME + _b.put_string("error.stack", stack)
        _4 = _b.NULL if fingerprint is None else _b.SOME + _b.put_string("error.fingerprint", fingerprint)
        _5 = _b.NULL if logger is None else _b.SOME + _b.put_string("error.logger", logger)
        _6 = _b.NULL if path is None else _b.SOME + _b.put_string("error.path", path)
        if user_id is None:
            _7 = _b.NULL
        elif _type(user_id) is _int and -9223372036854775808 <= user_id <= 9223372036854775807:
            _n = user_id << 1 if user_id >= 0 else ~(user_id << 1)
            _7 = _b.SOME + (_L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(user_id))
        else:
            _7 = _b.SOME + _b.put_long("error.user_id", user_id)
        _own = b"".join((_0, _1, _2, _3, _4, _5, _6, _7))
        if occurred_at is not None or trace_id is not None or _len(_own) > 900000:
            self._check(_own, occurred_at, trace_id)
        _set_values(self, (level, message, exception_type, stack, fingerprint, logger, path, user_id, occurred_at, trace_id))
        _set_own(self, _own)

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
        if user_id is None:
            _0 = _b.NULL
        elif _type(user_id) is _int and -9223372036854775808 <= user_id <= 9223372036854775807:
            _n = user_id << 1 if user_id >= 0 else ~(user_id << 1)
            _0 = _b.SOME + (_L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(user_id))
        else:
            _0 = _b.SOME + _b.put_long("feed_load.user_id", user_id)
        if _type(kind) is _str and kind in _FeedLoadKind:
            _1 = _FeedLoadKind[kind]
        else:
            _1 = _b.put_symbol("feed_load.kind", kind, _FeedLoadKind)
        if success is True or success is False:
            _2 = b"\x01" if success else b"\x00"
        else:
            _2 = _b.put_boolean("feed_load.success", success)
        if _type(items) is _int and -2147483648 <= items <= 2147483647:
            _n = items << 1 if items >= 0 else ~(items << 1)
            _3 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(items)
        else:
            _3 = _b.put_int("feed_load.items", items)
        if _type(latency_ms) is _int and -2147483648 <= latency_ms <= 2147483647:
            _n = latency_ms << 1 if latency_ms >= 0 else ~(latency_ms << 1)
            _4 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(latency_ms)
        else:
            _4 = _b.put_int("feed_load.latency_ms", latency_ms)
        if cached is True or cached is False:
            _5 = b"\x01" if cached else b"\x00"
        else:
            _5 = _b.put_boolean("feed_load.cached", cached)
        _own = _0 + _1 + _2 + _3 + _4 + _5
        if occurred_at is not None or trace_id is not None or _len(_own) > 900000:
            self._check(_own, occurred_at, trace_id)
        _set_values(self, (user_id, kind, success, items, latency_ms, cached, occurred_at, trace_id))
        _set_own(self, _own)

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
        if _type(user_id) is _int and -9223372036854775808 <= user_id <= 9223372036854775807:
            _n = user_id << 1 if user_id >= 0 else ~(user_id << 1)
            _0 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(user_id)
        else:
            _0 = _b.put_long("follow.user_id", user_id)
        if _type(target_id) is _int and -9223372036854775808 <= target_id <= 9223372036854775807:
            _n = target_id << 1 if target_id >= 0 else ~(target_id << 1)
            _1 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(target_id)
        else:
            _1 = _b.put_long("follow.target_id", target_id)
        if _type(target) is _str and target in _FollowTarget:
            _2 = _FollowTarget[target]
        else:
            _2 = _b.put_symbol("follow.target", target, _FollowTarget)
        if _type(action) is _str and action in _FollowAction:
            _3 = _FollowAction[action]
        else:
            _3 = _b.put_symbol("follow.action", action, _FollowAction)
        _own = _0 + _1 + _2 + _3
        if occurred_at is not None or trace_id is not None or _len(_own) > 900000:
            self._check(_own, occurred_at, trace_id)
        _set_values(self, (user_id, target_id, target, action, occurred_at, trace_id))
        _set_own(self, _own)

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
        if user_id is None:
            _0 = _b.NULL
        elif _type(user_id) is _int and -9223372036854775808 <= user_id <= 9223372036854775807:
            _n = user_id << 1 if user_id >= 0 else ~(user_id << 1)
            _0 = _b.SOME + (_L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(user_id))
        else:
            _0 = _b.SOME + _b.put_long("login.user_id", user_id)
        if _type(method) is _str and method in _LoginMethod:
            _1 = _LoginMethod[method]
        else:
            _1 = _b.put_symbol("login.method", method, _LoginMethod)
        if success is True or success is False:
            _2 = b"\x01" if success else b"\x00"
        else:
            _2 = _b.put_boolean("login.success", success)
        if failure is None:
            _3 = _b.NULL
        elif _type(failure) is _str and failure in _LoginFailure:
            _3 = _b.SOME + (_LoginFailure[failure])
        else:
            _3 = _b.SOME + _b.put_symbol("login.failure", failure, _LoginFailure)
        _own = _0 + _1 + _2 + _3
        if occurred_at is not None or trace_id is not None or _len(_own) > 900000:
            self._check(_own, occurred_at, trace_id)
        _set_values(self, (user_id, method, success, failure, occurred_at, trace_id))
        _set_own(self, _own)

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
        if _type(user_id) is _int and -9223372036854775808 <= user_id <= 9223372036854775807:
            _n = user_id << 1 if user_id >= 0 else ~(user_id << 1)
            _0 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(user_id)
        else:
            _0 = _b.put_long("pin.user_id", user_id)
        if _type(pin_id) is _int and -9223372036854775808 <= pin_id <= 9223372036854775807:
            _n = pin_id << 1 if pin_id >= 0 else ~(pin_id << 1)
            _1 = _L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(pin_id)
        else:
            _1 = _b.put_long("pin.pin_id", pin_id)
        if board_id is None:
            _2 = _b.NULL
        elif _type(board_id) is _int and -9223372036854775808 <= board_id <= 9223372036854775807:
            _n = board_id << 1 if board_id >= 0 else ~(board_id << 1)
            _2 = _b.SOME + (_L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag(board_id))
        else:
            _2 = _b.SOME + _b.put_long("pin.board_id", board_id)
        if _type(action) is _str and action in _PinAction:
            _3 = _PinAction[action]
        else:
            _3 = _b.put_symbol("pin.action", action, _PinAction)
        _own = _0 + _1 + _2 + _3
        if occurred_at is not None or trace_id is not None or _len(_own) > 900000:
            self._check(_own, occurred_at, trace_id)
        _set_values(self, (user_id, pin_id, board_id, action, occurred_at, trace_id))
        _set_own(self, _own)

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
    "Alert",
    "AlertState",
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
