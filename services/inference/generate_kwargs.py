"""`generate_kwargs` of `/chat`: parameters of Hugging Face's `generate()`, and what they are to vLLM.

Names and the default length are those of KAITO's transformers server up to 0.8. That server always sampled at
temperature 1; here, as with vLLM's own routes, the model's generation config says how unless the client does.
"""

from pydantic import BaseModel, ConfigDict, Field, model_validator

NEUTRAL: dict[str, tuple[object, ...]] = {
    "bad_words_ids": (None,),
    "diversity_penalty": (0,),
    "early_stopping": (False,),
    "encoder_no_repeat_ngram_size": (0,),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "length_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "num_beam_groups": (1,),
    "num_beams": (1,),
    "num_return_sequences": (1,),
    "output_scores": (False,),
    "remove_invalid_values": (False,),
    "return_dict_in_generate": (False,),
    "typical_p": (1,),
}
"""Parameters of `generate()` that vLLM does not have, with the values at which they change nothing."""

PADDING = "pad_token_id"
"""Named by old clients; vLLM pads nothing, so every value means the same."""

SAMPLING = {"temperature", "top_k", "top_p", "min_p", "repetition_penalty"}
"""Parameters with the same name and meaning in vLLM."""

KAITO_SAMPLING: dict[str, object] = {"temperature": 1.0, "top_k": 10, "top_p": 1.0}
"""What KAITO's server took where a client asked for sampling and said no more."""


class GenerateKwargs(BaseModel):
    """How to generate. A parameter that is null counts as left out; an unknown one is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_length: int = Field(default=200, ge=1, description="Most tokens to answer with; the prompt is not counted.")
    max_new_tokens: int | None = Field(default=None, ge=1, description="The same; wins over max_length.")
    min_length: int = Field(default=0, ge=0, description="Fewest tokens to answer with.")
    min_new_tokens: int | None = Field(default=None, ge=0, description="The same; wins over min_length.")
    do_sample: bool | None = Field(default=None, description="False: always the likeliest token.")
    temperature: float | None = Field(default=None, ge=0)
    top_k: int | None = Field(default=None, ge=0, description="0: no limit.")
    top_p: float | None = Field(default=None, gt=0, le=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0)
    eos_token_id: int | list[int] | None = Field(default=None, description="More tokens that end the answer.")
    stop_strings: str | list[str] | None = Field(default=None, description="Texts that end the answer.")

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, data: object) -> object:
        """Leave out what changes nothing; refuse what vLLM cannot do."""
        if not isinstance(data, dict):
            return data
        for name, neutral in NEUTRAL.items():
            if data.get(name) is not None and data[name] not in neutral:
                raise ValueError(f"{name}={data[name]!r} is not possible here; leave it out")
        unset = {name for name, value in data.items() if value is None and name in cls.model_fields}
        dropped = {*NEUTRAL, PADDING} | unset
        return {name: value for name, value in data.items() if name not in dropped}


def request_fields(kwargs: GenerateKwargs) -> dict[str, object]:
    """Return the fields of vLLM's OpenAI requests that say the same."""
    fewest = kwargs.min_length if kwargs.min_new_tokens is None else kwargs.min_new_tokens
    return {
        "max_tokens": kwargs.max_new_tokens or kwargs.max_length,
        "min_tokens": fewest,
        "stop_token_ids": _many(kwargs.eos_token_id),
        "stop": _many(kwargs.stop_strings),
        **_sampling(kwargs),
    }


def _sampling(kwargs: GenerateKwargs) -> dict[str, object]:
    """Return how to choose a token; empty where the model's own generation config decides."""
    if kwargs.do_sample is False:
        return {"temperature": 0.0}
    given = kwargs.model_dump(include=SAMPLING, exclude_none=True)
    return KAITO_SAMPLING | given if kwargs.do_sample else given


def _many(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]
