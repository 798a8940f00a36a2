"""Avro values to Arrow columns and back, a batch at a time.

`AvroCodec.decode` says of each row whether encoding its columns again gives exactly the bytes that came in, so that an
archive may keep the columns alone. Nothing here knows of Kafka, Parquet or topics.
"""

from .codec import AvroCodec, DecodedRows
from .encode import EncodeError
from .schema import SchemaUnsupported, WriterSchema

__all__ = ["AvroCodec", "DecodedRows", "EncodeError", "SchemaUnsupported", "WriterSchema"]
