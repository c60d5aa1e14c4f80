"""The one-machine runtime: a real Kafka broker, schema registry and workers, started and kept alive by one process."""
