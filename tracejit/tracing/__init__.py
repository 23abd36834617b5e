"""Compiled functions: recording, replay, and what there is to say about them."""
