"""Tests on a real engine: vLLM on this machine's CPUs with a real model."""
