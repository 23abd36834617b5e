"""The CPU back end: LLVM IR as text."""
