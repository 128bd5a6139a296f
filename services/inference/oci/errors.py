"""What can go wrong between a registry and a folder, in words for the person who named the image."""

from __future__ import annotations


class OciError(Exception):
    """Files could not be moved. The message is for a person. Trying again alone does not help."""


class Passing(OciError):
    """A failure that may pass by itself: the registry did not answer, broke off, or asked for a pause.

    `after` are the seconds that the registry asked to wait.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class NotFound(OciError):
    """The registry has no such repository, tag, manifest or blob."""


class Denied(OciError):
    """The registry wants credentials, or does not take those that it got."""


class Hostile(OciError):
    """What came is not what was asked for, or would do harm: wrong bytes, names that lead out of the folder, bombs."""
