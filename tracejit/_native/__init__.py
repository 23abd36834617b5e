"""What native code relies on of CPython and NumPy, and the base class of callables whose calls it takes."""
