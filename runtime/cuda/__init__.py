"""NVIDIA GPUs: devices, their memory, kernels and programs."""
