"""A function as a library for C: machine code, a header, and what build systems find it by."""
