"""headrace: typed events through Kafka into an exact, replayable archive.

Public parts: headrace.producer and headrace.schemas for apps, headrace.replay for data, headrace.archiver and
headrace.local for those who run it.
"""

__version__ = "0.1.0"
