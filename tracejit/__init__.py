"""A JIT tracing compiler for Python."""
