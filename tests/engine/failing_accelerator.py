"""`python -m tests.engine.failing_accelerator FLAGS`: the transformers runtime on an accelerator that fails once.

Runs in the engine's environment. A request for FAILS_AT tokens finds what a GPU reports when a kernel has crashed.
"""

import sys

FAILS_AT = 13
"""Tokens of an answer."""


def main() -> int:
    """Serve as `kaitobus-transformers` does."""
    import torch
    from transformers import GenerationMixin

    from services.inference.transformers_runtime.app import main as serve

    generate = GenerationMixin.generate

    def failing(self: GenerationMixin, **given: object) -> object:
        if given.get("max_new_tokens") == FAILS_AT:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return generate(self, **given)

    GenerationMixin.generate = failing
    return serve()


if __name__ == "__main__":
    sys.exit(main())
