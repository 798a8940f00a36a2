"""A process that tells alerts, to be killed: a runner that commits its position after each batch, as the live run does.

`python -m alert_teller KAFKA TOPIC WEBHOOK FOLDER ROUNDS`: goes on from the position in FOLDER, ends when all is told.
"""

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from alert_kit import transition

from headrace.monitor.alerts import Alerts, AlertSettings
from headrace.monitor.transition import Transition

GROUPS = 12
BATCH = 4


def course(rounds: int) -> list[Transition]:
    """Alerts of several groups that begin, go on and end, so often each; in the order of event time."""
    found = []
    for minute in range(20 * rounds):
        for group in range(GROUPS):
            labels = {"service": f"s{group}"}
            at = (minute - group) % 20
            if minute >= group and at in (0, 1, 2, 3):
                state = "firing" if at == 0 else "resolved" if at == 3 else "still_firing"
                found.append(transition(state, minute, labels=labels))  # type: ignore[arg-type]
    return found


def tell(kafka: str, topic: str, webhook: str, folder: Path, rounds: int) -> None:
    """Send what was not committed as sent."""
    settings = AlertSettings(topic=topic, webhook=webhook, notify_age_s=1e9, outbox=folder / "outbox.sqlite")
    alerts = Alerts(
        settings, {"bootstrap.servers": kafka}, {}, now_us=lambda: time.time_ns() // 1000, monotonic=time.monotonic,
        draw=random.random,
    )  # fmt: skip
    position = folder / "position"
    done = int(position.read_text()) if position.exists() else 0
    all_of_it = course(rounds)
    while done < len(all_of_it):
        alerts.send(all_of_it[done : done + BATCH])
        done += BATCH
        (folder / "new").write_text(str(done))
        (folder / "new").replace(position)
    alerts.close()


def main(arguments: Sequence[str]) -> None:
    """Tell, as the arguments say."""
    kafka, topic, webhook, folder, rounds = arguments
    tell(kafka, topic, webhook, Path(folder), int(rounds))


if __name__ == "__main__":
    main(sys.argv[1:])
