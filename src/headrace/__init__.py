"""headrace: typed events through Kafka into an exact, replayable archive. Public parts: headrace.producer, headrace.schemas, headrace.archiver, headrace.replay."""

__version__ = "0.1.0"
