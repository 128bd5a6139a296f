"""The services of Kaito Bus: each package is one process; all import `contracts` and `chassis`, none another."""
