"""ClickHouse: tables and views of the events, the sink's engine, the read-only endpoint, and a client for readers."""
