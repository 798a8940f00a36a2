"""Sends dead letters again, when somebody says that their cause is gone: `headrace ship DIR --dead-letters`.

A file is taken away from its process, its letters are sent, and what could not be sent is put back. Killed at any
moment it loses none; those that were sent and not yet crossed out are sent again, with the same event_id.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from ..letter import Letter
from ..queues import MemoryQueue, Queue
from ..shipper import Shipper
from .dead_letters import FOLDER, SUFFIX, TAKEN, DeadLetterFile, Kept, files_of, line_of, lines_of, parsed, take

MakeShipper = Callable[[Queue, Callable[[Letter], None]], Shipper]


class Resending:
    """One run over a spool's dead letters. stop() may be called by a signal handler."""

    def __init__(
        self, spool: Path, *, reason: str | None, make_shipper: MakeShipper, say: Callable[[str], None],
        clock_ns: Callable[[], int],
    ) -> None:  # fmt: skip
        """`reason`: only letters of that reason, such as oversize."""
        self._spool = spool
        self._reason = reason
        self._make_shipper = make_shipper
        self._say = say
        self._clock_ns = clock_ns
        self._stop = False
        self.sent = 0
        self.left = 0
        """Letters that were to be sent, and are still there."""

    def run(self) -> None:
        """Send what there is, service by service; raise OSError when the folder cannot be read."""
        for service in sorted(each for each in self._spool.iterdir() if (each / FOLDER).is_dir()):
            fd = os.open(service / FOLDER / "send.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for path in files_of(service):
                    if not self._stop:
                        self._send_file(service, path)
            except BlockingIOError:
                self._say(f"{service.name}: its dead letters are being sent by another command")
            finally:
                os.close(fd)

    def stop(self) -> None:
        """End soon; what was not sent stays."""
        self._stop = True

    def _send_file(self, service: Path, path: Path) -> None:
        if not any(self._chosen(parsed(line)) for line in lines_of(path)):
            return
        taken = take(path)
        if taken is None:
            self._say(f"{path}: is being written to at this moment, left alone")
            return
        queue, lines = _Letters(), lines_of(taken)
        positions: dict[int, int] = {}  # line by position in the queue
        for number, line in enumerate(lines):
            kept = parsed(line)
            if kept is not None and kept.letter.record is not None and self._chosen(kept):
                positions[len(positions)] = number
                queue.append(kept.letter.record, force=True)
        shipper = self._make_shipper(queue, lambda _: None)
        shipper.run(lambda: self._stop or queue.depth()[0] == 0)
        now_ms = self._clock_ns() // 1_000_000
        rest: list[bytes] = []
        by_line = {number: position for position, number in positions.items()}
        for number, line in enumerate(lines):
            position = by_line.get(number)
            if position is None or position not in queue.done:
                rest.append(line)
            elif position in queue.again:
                rest.append(line_of(queue.again[position], now_ms))
        sent = len(queue.done) - len(queue.again)
        self.sent += sent
        self.left += len(positions) - sent
        process = taken.name.removeprefix(TAKEN).removesuffix(SUFFIX)
        unbounded = DeadLetterFile(service, process, bytes_max=1 << 62, clock_ns=self._clock_ns)
        if rest and not unbounded.write_lines(rest):
            self._say(f"{taken}: cannot be replaced by what is left of it (disk full?): it is sent whole the next time")
            return
        taken.unlink()
        why = f": {shipper.last_error}" if sent < len(positions) and shipper.last_error else ""
        self._say(f"{service.name}/{process}: {sent:,} of {len(positions):,} dead letters sent{why}")

    def _chosen(self, kept: Kept | None) -> bool:
        return kept is not None and kept.letter.record is not None and self._reason in (None, kept.letter.reason)


class _Letters(MemoryQueue):
    """Letters to be sent, all there from the beginning."""

    def __init__(self) -> None:
        super().__init__(queue_records_max=1, queue_bytes_max=1)
        self.done: set[int] = set()
        self.again: dict[int, Letter] = {}

    def ack(self, position: int) -> None:
        """Forget a record that was read, and remember that it is done."""
        super().ack(position)
        self.done.add(position)

    def refused(self, position: int, letter: Letter) -> None:
        """Remember that Kafka refused it again."""
        self.again[position] = letter
