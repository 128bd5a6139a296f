"""What crosses a process: messages, subjects, the Workspace resource, conditions and typed errors.

Everything here is a frozen pydantic model or a closed enum. Nothing in this package does I/O, and it
depends on pydantic alone, so that anyone can use it to write a service of their own.
"""
