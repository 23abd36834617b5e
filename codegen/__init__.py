"""Code generation: kernels from graphs, and text from kernels."""
