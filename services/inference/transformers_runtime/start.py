"""Puts the parts of the server together."""

from dataclasses import dataclass

import torch
from fastapi import FastAPI

from services.inference.transformers_runtime.generation import Generator
from services.inference.transformers_runtime.metrics import Metrics
from services.inference.transformers_runtime.model import Loaded, load
from services.inference.transformers_runtime.options import Options
from services.inference.transformers_runtime.routes import Served, build_app


@dataclass(frozen=True)
class Started:
    """A model in memory, and what answers for it."""

    options: Options
    loaded: Loaded
    served: Served

    def first_token(self) -> None:
        """Make one token, so that /health means that it can."""
        ids = torch.tensor([self.loaded.of_text("Hello")], device=self.loaded.model.device)
        with torch.inference_mode():
            self.loaded.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False
            )

    def app(self) -> FastAPI:
        """The application to serve."""
        return build_app(self.served, self.options.api_keys)

    def close(self) -> None:
        """End the thread that generates."""
        self.served.generator.close()


def start(options: Options) -> Started:
    """Load the model. Raises whatever transformers raises where it cannot."""
    loaded = load(options)
    metrics = Metrics(options.served_model_name)
    generator = Generator(loaded.model, loaded.decode, options.max_waiting, metrics)
    return Started(options, loaded, Served(options.served_model_name, loaded, generator, metrics))
