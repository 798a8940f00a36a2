"""How a process logs: for people, or as one JSON object a line for machines; what both may say.

A record may carry an event's name and fields beside its sentence. They are numbers, offsets, names and keys of objects:
never a record's key, value or headers, and nothing of the configuration but names.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from headrace.schemas.safe_text import safe_line, safe_lines

LogFormat = Literal["human", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = ("human", "json")
FIELDS = "headrace"
# They tell where they found credentials, and each request with its headers.
CHATTY = ("botocore", "boto3", "urllib3", "s3transfer", "kafka")


def fields(event: str, **more: Any) -> dict[str, dict[str, Any]]:
    """Return what goes into `extra` of a logging call."""
    return {FIELDS: {"event": event, **more}}


class JsonLines(logging.Formatter):
    """One JSON object a line. `context`: what each line says of the process."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        super().__init__()
        self._context = dict(context)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: at, level, logger, the context, the event and its fields, the sentence, an error."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"at": at, "level": record.levelname.lower(), "logger": record.name, "pid": record.process}
        line |= {**self._context, **getattr(record, FIELDS, {}), "message": record.getMessage()}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return safe_line(json.dumps(line, ensure_ascii=False, default=str))


class PlainLines(logging.Formatter):
    """A line for people. A message is one line, whatever a name or an error in it holds; a traceback has several."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line."""
        return safe_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback."""
        return safe_lines(super().formatException(ei))


def configure(form: str, level: str, *, worker: int | None = None) -> None:
    """Log to standard error. `worker` names the process of one."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonLines({} if worker is None else {"worker": worker}))
    else:
        who = "" if worker is None else f"worker {worker} [%(process)d] "
        handler.setFormatter(PlainLines(f"%(asctime)s {who}%(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel("WARNING")
