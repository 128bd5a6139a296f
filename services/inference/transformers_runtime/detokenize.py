"""Turns tokens into text as they come, without ever showing half a character. Pure."""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
HALF = "\N{REPLACEMENT CHARACTER}"
"""What a decoder shows for bytes that are no whole character yet."""


class Detokenizer:
    """Decodes each token together with those before it, since blanks and letters depend on their neighbours."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._context, self._shown = 0, 0

    def feed(self, token: int) -> str:
        """Take a token, and return the text that it completes."""
        self._tokens.append(token)
        text = self._new()
        if not text or text.endswith(HALF):
            return ""
        self._context, self._shown = self._shown, len(self._tokens)
        return text

    def rest(self) -> str:
        """Return what is left, once no more tokens come."""
        text = self._new()
        self._context = self._shown = len(self._tokens)
        return text

    def _new(self) -> str:
        before = self._decode(self._tokens[self._context : self._shown])
        return self._decode(self._tokens[self._context :])[len(before) :]
