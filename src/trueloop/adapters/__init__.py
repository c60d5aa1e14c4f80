"""One client library each: Kafka, schema registry, ClickHouse, model store. Adapters map and send; they decide nothing."""
