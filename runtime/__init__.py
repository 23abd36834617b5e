"""The run time: memory, programs, devices."""
