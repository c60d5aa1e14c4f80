"""The first fields of many Avro records at once, as arrays: what a hot path looks at, without an object per record."""
