"""Seconds to loss on a real broker: never later than the deletion. `python -m loss_truth` is the long measurement."""

import pytest
from loss_truth import BY_TIME, follow
from servers import Servers

pytestmark = pytest.mark.servers

SEEN_S = 0.5
"""How exactly a deletion is seen, and a moment of asking is one moment."""


def test_the_prediction_is_never_later_than_the_deletion(servers: Servers) -> None:
    """Records live for 8 s by retention.ms; at each look the first one's end was foretold, and not too late."""
    config = {**BY_TIME, "retention.ms": "8000", "segment.ms": "2000"}
    truth = follow(servers, config, for_s=15, bytes_per_s=20_000)
    assert len(truth.errors) >= 3, truth
    assert min(truth.errors) > -SEEN_S, truth
