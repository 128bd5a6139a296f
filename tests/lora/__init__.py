"""LoRA adapters for tests, written byte by byte."""
