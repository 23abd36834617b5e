"""The CPU run time."""
