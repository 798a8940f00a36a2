"""The client that app servers import: light, never raises into the app, never blocks on the network."""

from .event_log import EventLog
from .process_log import Counts

__all__ = ["Counts", "EventLog"]
