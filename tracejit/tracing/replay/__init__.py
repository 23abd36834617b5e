"""Replay without Python: what a recorded call depends on, guards that check it, and the programs that do what it did."""

MISS = object()
"""What an attempt to replay a call gives where Python has to run."""
