"""Preference pairs from labels: which of two completions is better, by what evidence."""
