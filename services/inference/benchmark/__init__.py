"""How fast a running server is: measured through its own endpoint while nobody else is there, and kept.

Only `serving` knows vLLM. The load is made by a process of its own (`drive`), so that it takes no time of the server's
and ends at once when it is killed: that happens when a request of somebody else comes.
"""
