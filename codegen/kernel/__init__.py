"""The loop IR shared by the back ends."""
