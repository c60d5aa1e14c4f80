"""Events from Avro."""
