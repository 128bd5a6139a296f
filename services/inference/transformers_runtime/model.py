"""Loads the model and its tokenizer, and turns requests into tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from services.inference.transformers_runtime.options import Options
from services.inference.transformers_runtime.requests import Sampling

GIB = 2**30


class BadRequest(Exception):
    """The request cannot be answered by this model; the message says what to change."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to generate. `longest` are the tokens of prompt and answer together."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    longest: int

    def first_token(self) -> None:
        """Make one token, so that /health means that it can."""
        ids = torch.tensor([self.of_text("Hello")], device=self.model.device)
        with torch.inference_mode():
            self.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False)

    def of_text(self, text: str) -> list[int]:
        """The tokens of a prompt."""
        return [int(token) for token in self.tokenizer(text)["input_ids"]]

    def checked(self, tokens: Sequence[int]) -> list[int]:
        """The tokens of a client. Raises BadRequest for one that the model lacks, which ends a server on GPUs."""
        known = self.model.get_input_embeddings().num_embeddings
        if any(not 0 <= token < known for token in tokens):
            raise BadRequest(f"The prompt has tokens that the model lacks: they are 0 to {known - 1}.")
        return list(tokens)

    def of_conversation(self, turns: Sequence[dict[str, str]]) -> list[int]:
        """The tokens of a conversation, by the model's chat template. Raises BadRequest where that takes it not."""
        if not self.tokenizer.chat_template:
            raise BadRequest("The model served here has no chat template: use /v1/completions with a prompt.")
        try:
            text = self.tokenizer.apply_chat_template(list(turns), add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template may raise whatever its author wrote
            raise BadRequest(f"The model's chat template does not take these messages: {error}") from error
        return [int(token) for token in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens, without marks of the model's own."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def room(self, prompt: int, wanted: int | None) -> int:
        """How many tokens an answer may have. Raises BadRequest where they would not fit."""
        left = self.longest - prompt
        if prompt == 0:
            raise BadRequest("The prompt is empty.")
        if left < 1 or (wanted or 0) > left:
            asked = f" and {wanted} tokens of an answer" if wanted else ""
            raise BadRequest(
                f"The prompt has {prompt} tokens{asked}, and prompt and answer together may have {self.longest} here."
            )
        return wanted or left

    def ends(self, sampling: Sampling) -> frozenset[int]:
        """The tokens that end an answer."""
        own = self.model.generation_config.eos_token_id
        own = own if own is not None else self.tokenizer.eos_token_id
        found = own if isinstance(own, list) else [] if own is None else [own]
        return frozenset({*map(int, found), *sampling.stop_token_ids})

    def weights_gib(self) -> float:
        """GiB of weights on the fullest device."""
        held: dict[torch.device, int] = {}
        for weights in self.model.parameters():
            held[weights.device] = held.get(weights.device, 0) + weights.nbytes
        return round(max(held.values(), default=0) / GIB, 3)


def load(options: Options) -> Loaded:
    """Load onto the GPUs of this machine, layer by layer where one does not hold it, else onto its CPU."""
    logging.disable_progress_bar()  # it is for terminals, and fills a log
    shared = {"revision": options.revision, "trust_remote_code": options.trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(options.model, **shared)
    gpus = torch.cuda.device_count()
    where = "auto" if gpus > 1 else "cuda" if gpus else "cpu"
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=options.dtype, device_map=where, **shared)
    model.eval()
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return Loaded(model, tokenizer, _longest(options.max_model_len, own, options.model))


def _longest(wanted: int | None, own: int | None, model: str) -> int:
    """The tokens that are read at most. Raises ValueError where the model has fewer than are wanted, or tells none."""
    if wanted and own and wanted > own:
        raise ValueError(f"{model} reads at most {own} tokens, and --max-model-len is {wanted}")
    found = wanted or own
    if not found:
        raise ValueError(f"{model} does not tell how many tokens it reads: give --max-model-len")
    return found
