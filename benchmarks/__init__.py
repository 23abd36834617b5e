"""Workloads timed on tracejit and on its peers, each in a process of its own, each checked against float64 NumPy."""
