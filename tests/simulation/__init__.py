"""A seeded simulation of the archiver: the production code on a simulated Kafka, S3 and clock (docs/simulation.md)."""
