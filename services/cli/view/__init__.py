"""How things look on a terminal, and as plain lines in a pipe."""
