"""The watcher: turns Workspaces into messages, and messages into the Workspaces' status.

It is the only writer of a Workspace's status and finalizer.
"""
