"""Every op, one record each."""
