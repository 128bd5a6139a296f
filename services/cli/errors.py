"""The one error of the command line: a sentence for a person, and exit code 1."""


class CliError(Exception):
    """Something a person must know or change; the message is one or two plain sentences."""
