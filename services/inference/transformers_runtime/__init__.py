"""A server on transformers' own `generate`, for models that vLLM lacks: one request at a time, OpenAI's routes.

transformers has a server of its own (`transformers serve`). It is not used, since its stop texts stay in the answer, a
temperature alone does not make it sample, requests wait in a line without end, an answer that is not streamed goes on
when its client is gone, errors have a shape of their own, and anybody may load other models into it.
"""
