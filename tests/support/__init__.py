"""Helpers that tests share: gates, sizes and random configurations, the note's networks."""
