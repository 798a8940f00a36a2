"""The client that app servers import: light, never raises into the app, never blocks on the network."""

from .counts import Counts
from .event_log import EventLog
from .readings import Readings

__all__ = ["Counts", "EventLog", "Readings"]
