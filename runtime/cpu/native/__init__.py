"""Calls without Python: replay code as machine code, the callable that runs it, and memory that it hands out and takes back."""
