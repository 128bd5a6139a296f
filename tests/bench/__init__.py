"""The figures of Kaito Bus on this machine: `make bench` prints them beside their goals."""
