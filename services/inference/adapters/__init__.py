"""LoRA adapters of a running server: fetched, checked, weighed, loaded and unloaded as a file says.

Only `serving` knows vLLM. Files are touched by a process of their own (`prepare`), so that nothing in them can harm or
slow down the server.
"""
