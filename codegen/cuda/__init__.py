"""Kernels as CUDA C: text only. Nothing here knows of a driver, a compiler or a GPU."""
