"""The report: what ClickHouse's views say of agreement, reviewers, drift and gates, for a terminal and as a page that needs nothing else."""
