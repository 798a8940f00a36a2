"""The trace id of events, with the real OpenTelemetry SDK, and without OpenTelemetry."""

import subprocess
import sys
from types import ModuleType

import pytest
from fake_producer import FakeBroker
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from headrace.producer import EventLog
from headrace.producer.tracing import current_trace_id
from headrace.schemas import Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

PIN = Pin(user_id=7, pin_id=9, action="SAVE")


def test_events_in_a_span_carry_its_trace_id() -> None:
    """emit() within a span of the real SDK takes its trace; outside of any span there is none."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    broker = FakeBroker()
    log = EventLog(service="web", kafka="x", make_producer=broker.make_producer)
    log.emit(PIN)
    with tracer.start_as_current_span("request") as outer:
        log.emit(PIN)
        with tracer.start_as_current_span("query"):
            log.emit(PIN)
    log.emit(PIN)
    assert log.close(60)
    wanted = outer.get_span_context().trace_id.to_bytes(16, "big")
    assert [decode(value, builtin())["trace_id"] for value in broker.values("pin")] == [None, wanted, wanted, None]


def test_a_trace_that_came_with_the_request_counts_too() -> None:
    """A remote parent that this process does not record is a trace all the same."""
    context = SpanContext(trace_id=0xABC << 64, span_id=1, is_remote=True, trace_flags=TraceFlags(0))
    with trace.use_span(NonRecordingSpan(context)):
        assert current_trace_id() == (0xABC << 64).to_bytes(16, "big")
    assert current_trace_id() is None


def test_without_opentelemetry_nothing_is_imported() -> None:
    """An app that has not imported OpenTelemetry, or does not have it, logs without a trace; headrace imports none."""
    code = """
import sys
sys.modules["opentelemetry"] = None  # importing it raises, as where it is not installed
from headrace.producer.tracing import current_trace_id
assert current_trace_id() is None
assert "opentelemetry.trace" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_half_imported_opentelemetry_costs_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread is still importing it, events have no trace; they are not dropped."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", ModuleType("opentelemetry.trace"))
    assert current_trace_id() is None
