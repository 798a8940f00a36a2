"""Single-object encoding."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.schemas import DecodeError, Pin, UnknownFingerprint
from headrace.schemas.binary import zigzag
from headrace.schemas.catalog import builtin
from headrace.schemas.event import Envelope
from headrace.schemas.frame import Decoder, decode, encode, split

ENVELOPE = Envelope(service="web", host="web-17", session_id=bytes(range(16)))
PIN = Pin(user_id=7, pin_id=9, action="SAVE")
VALUE = PIN.kafka_value(ENVELOPE, b"i" * 16, 3, 1_764_000_000_000_000, b"t" * 16)


def test_frame_is_marker_fingerprint_body() -> None:
    """C3 01, then the writer's fingerprint as printed by `schema show --fingerprint`, then the body."""
    assert VALUE[:10] == b"\xc3\x01" + Pin.FINGERPRINT
    assert split(VALUE) == (Pin.FINGERPRINT, VALUE[10:])
    assert encode(*split(VALUE)) == VALUE


def test_encode_refuses_a_fingerprint_of_another_size() -> None:
    """A frame never gets a fingerprint that readers would split elsewhere."""
    with pytest.raises(ValueError, match="8 bytes"):
        encode(b"short", b"")


def test_decode_gives_all_fields() -> None:
    """Envelope and own fields come back with their Python types, from a catalog or a plain mapping."""
    fields = decode(VALUE, builtin())
    assert fields == decode(VALUE, {Pin.FINGERPRINT: Pin.SCHEMA})
    assert list(fields)[:7] == ["event_id", "occurred_at", "service", "host", "session_id", "seq", "trace_id"]
    assert (fields["event_id"], fields["seq"], fields["trace_id"]) == (b"i" * 16, 3, b"t" * 16)
    assert fields["occurred_at"].isoformat() == "2025-11-24T16:00:00+00:00"
    assert (fields["user_id"], fields["pin_id"], fields["board_id"], fields["action"]) == (7, 9, None, "SAVE")


@pytest.mark.parametrize(
    "value", [b"", b"\xc3\x01", b"\xc3\x01" + b"1234567", b'{"json":"of another team"}', b"\x00" * 10]
)
def test_other_frames_are_refused(value: bytes) -> None:
    """What is cut short or begins otherwise is no event of ours."""
    with pytest.raises(DecodeError, match="no single-object frame"):
        decode(value, builtin())


def test_unknown_fingerprint_is_named() -> None:
    """The error carries the fingerprint, so that its schema can be looked for."""
    with pytest.raises(UnknownFingerprint, match="0102030405060708") as caught:
        decode(b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08body", builtin())
    assert caught.value.fingerprint == bytes(range(1, 9))


@pytest.mark.parametrize("length", range(10, len(VALUE)))
def test_a_body_cut_short_is_refused(length: int) -> None:
    """No prefix of an event is an event."""
    with pytest.raises(DecodeError):
        decode(VALUE[:length], builtin())


def test_a_body_with_more_behind_it_is_refused() -> None:
    """Bytes left over mean that the schema is not the writer's."""
    with pytest.raises(DecodeError, match="2 bytes are left over"):
        decode(VALUE + b"\x00\x00", builtin())


def test_a_symbol_or_time_out_of_range_is_a_decode_error() -> None:
    """Values that the type does not have are errors of the bytes, whatever the Avro library raises."""
    with pytest.raises(DecodeError):
        decode(VALUE[:-1] + zigzag(99), builtin())
    far = PIN.kafka_value(ENVELOPE, b"i" * 16, 3, 1 << 62, None)
    with pytest.raises(DecodeError):
        decode(far, builtin())


@given(st.binary(max_size=200))
def test_any_body_decodes_or_is_refused(body: bytes) -> None:
    """Arbitrary bytes behind a known fingerprint raise DecodeError and nothing else."""
    try:
        decode(encode(Pin.FINGERPRINT, body), builtin())
    except DecodeError:
        return


def test_decoder_asks_for_each_schema_once() -> None:
    """Schemas are looked up and parsed once, not once an event."""
    asked: list[bytes] = []

    class Texts:
        def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
            asked.append(fingerprint)
            return builtin().text_by_fingerprint(fingerprint)

    decoder = Decoder(Texts())
    first = decoder.decode(VALUE)
    assert decoder.decode(VALUE) == first
    assert asked == [Pin.FINGERPRINT]


def test_a_pin_event_is_about_84_bytes() -> None:
    """A pin event with a 19-digit pin, a board and a 12-letter host: a body of some 80 bytes, and the frame."""
    envelope = Envelope(service="web", host="web-eu1-0017", session_id=os.urandom(16))
    pin = Pin(user_id=123_456_789, pin_id=1_234_567_890_123_456_789, board_id=1_234_567_890, action="SAVE")
    assert 85 <= len(pin.kafka_value(envelope, b"i" * 16, 12_345, 1_764_000_000_000_000, None)) <= 95
