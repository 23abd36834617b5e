"""The tensor graph."""
