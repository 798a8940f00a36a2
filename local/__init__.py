"""Real Kafka and a real S3 server on one machine, without Docker."""
