"""Runs `generate`, one request after the other, on a thread of its own; the text comes out piece by piece."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from services.inference.transformers_runtime.accelerator import is_broken_by
from services.inference.transformers_runtime.answers import Finish
from services.inference.transformers_runtime.detokenize import Decode, Detokenizer
from services.inference.transformers_runtime.metrics import Metrics
from services.inference.transformers_runtime.requests import Sampling
from services.inference.transformers_runtime.stops import Stops


class GenerationFailed(Exception):
    """`generate` ended with an error; the message is its own."""


@dataclass(eq=False)
class Generation:
    """One request under way. Made on the event loop; `text` is its only way out of the thread."""

    prompt: list[int]
    sampling: Sampling
    most: int
    """Most tokens of the answer."""
    ends: frozenset[int]
    """Tokens that end the answer."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    produced: int = 0
    cut_short: bool = False
    """Whether it ended since there may be no more tokens."""
    stopped: bool = False
    failed: bool = False
    job: "Future[None] | None" = None
    text: asyncio.Queue[str | BaseException | None] = field(default_factory=asyncio.Queue)

    @property
    def finish(self) -> Finish:
        """Why the answer ended."""
        return "length" if self.cut_short and not self.stopped else "stop"

    def give_up(self) -> None:
        """End it, or take it out of the line. Nothing happens where it has ended."""
        self.cancelled.set()
        if self.job:
            self.job.cancel()

    async def pieces(self) -> AsyncIterator[str]:
        """The text up to the first stop. Whoever stops listening ends the generation. Raises GenerationFailed."""
        stops = Stops(self.sampling.stop)
        try:
            while (piece := await self.text.get()) is not None:
                if isinstance(piece, BaseException):
                    self.failed = True
                    raise GenerationFailed(str(piece) or type(piece).__name__) from piece
                if shown := stops.feed(piece):
                    yield shown
                if stops.hit:
                    self.stopped = True
                    return
            if shown := stops.rest():
                yield shown
        finally:
            self.give_up()


class _Streamer(BaseStreamer):  # type: ignore[misc]  # the class is not typed
    """Takes tokens from `generate`; the first ones are the prompt's own."""

    def __init__(self, generation: Generation, decode: Decode, send: Callable[[str], None]) -> None:
        self._generation, self._text, self._send = generation, Detokenizer(decode), send
        self._prompt_is_past = False

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_is_past:
            self._prompt_is_past = True
            return
        for token in value.flatten().tolist():
            self._take(int(token))

    def _take(self, token: int) -> None:
        generation = self._generation
        generation.produced += 1
        generation.cut_short = generation.produced >= generation.most and token not in generation.ends
        if text := self._text.feed(token):
            self._send(text)

    def end(self) -> None:
        if text := self._text.rest():
            self._send(text)


class _Cancelled(StoppingCriteria):  # type: ignore[misc]  # the class is not typed
    """Asked after each token whether anybody still listens."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.Tensor, _scores: object, **_: object) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self._event.is_set(), dtype=torch.bool, device=input_ids.device)


class Generator:
    """The model behind a line, whose length is the door's to bound. All methods but the thread's own are called on the
    event loop.
    """

    def __init__(self, model: PreTrainedModel, decode: Decode, metrics: Metrics) -> None:
        self._model, self._decode, self._metrics = model, decode, metrics
        self._inside: list[Generation] = []
        self.broken: BaseException | None = None
        """The error after which nothing can be generated any more; `broke` is set then."""
        self.broke = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate")

    def start(self, generation: Generation) -> None:
        """Put a request into the line."""
        loop = asyncio.get_running_loop()
        self._inside.append(generation)
        self._metrics.inside(len(self._inside))
        asked = time.monotonic()

        def send(item: str | BaseException | None) -> None:
            loop.call_soon_threadsafe(generation.text.put_nowait, item)

        def ended(job: "Future[None]") -> None:
            error = None if job.cancelled() else job.exception()
            send(error)
            loop.call_soon_threadsafe(self._leave, generation, asked, error)

        generation.job = self._thread.submit(self._generate, generation, send)
        generation.job.add_done_callback(ended)

    def close(self) -> None:
        """End what is under way: the process ends."""
        for generation in self._inside:
            generation.cancelled.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _leave(self, generation: Generation, asked: float, error: BaseException | None) -> None:
        self._inside.remove(generation)
        if error is not None and is_broken_by(error):
            self.broken = self.broken or error
            self.broke.set()
        self._metrics.inside(len(self._inside))
        self._metrics.answered(generation.produced, len(generation.prompt), time.monotonic() - asked)

    def _generate(self, generation: Generation, send: Callable[[str], None]) -> None:
        """On the thread. What was cancelled while it waited is not begun."""
        if generation.cancelled.is_set():
            return
        sampling = generation.sampling
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        ids = torch.tensor([generation.prompt], device=self._model.device)
        with torch.inference_mode():
            self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                streamer=_Streamer(generation, self._decode, send),
                stopping_criteria=StoppingCriteriaList([_Cancelled(generation.cancelled)]),
                max_new_tokens=generation.most,
                min_new_tokens=min(sampling.min_tokens, generation.most),
                eos_token_id=sorted(generation.ends) or None,
                **sampling.arguments(),
            )
