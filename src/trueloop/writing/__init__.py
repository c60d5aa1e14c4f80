"""Events to Avro."""
