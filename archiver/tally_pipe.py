"""The pipe on which a worker tells its tally: lines go out as fast as they are read, and never make the worker wait.

A line is sent whole or not at all: while one is on its way, newer ones are passed over, for they are told again in a
second with all that they count.
"""

import os


class TallyPipe:
    """Writes lines to a pipe's descriptor; a reader that is gone is no error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._rest = b""
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    def write(self, line: bytes) -> None:
        """Send a line, or as much of the one before as the pipe takes."""
        if self._descriptor is None:
            return
        data = self._rest or line
        try:
            self._rest = data[os.write(self._descriptor, data) :]
        except BlockingIOError:
            self._rest = data
        except OSError:
            os.close(self._descriptor)
            self._descriptor = None
