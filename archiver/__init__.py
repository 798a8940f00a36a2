"""Kafka to Parquet on S3: columnar decode, archive format v1, commit log, and the worker loop around them."""
