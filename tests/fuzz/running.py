"""How a property is run over many inputs, and what the surfaces share."""

import os
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings


def fuzz(property_: Callable[..., None], examples: int, number: int) -> None:
    """Run a property of Hypothesis's, the same way each time for one seed; a failure is shrunk and raised."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    odd = [HealthCheck.filter_too_much, HealthCheck.large_base_example]
    seed(number)(
        settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=[*slow, *odd],
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            print_blob=True,
        )(property_)
    )()


def remember(data: object) -> None:
    """Write an input down before it is used, for a crash that nothing in this process survives."""
    if path := os.environ.get("HEADRACE_FUZZ_LAST"):
        Path(path).write_text(repr(data))


def flipped(body: bytes, bit: int) -> bytes:
    """The bytes with one bit changed."""
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)
