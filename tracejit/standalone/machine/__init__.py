"""A call as machine code: all steps of an artifact's call as one native function, which needs no Python."""
