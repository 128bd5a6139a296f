"""The inference service: what runs in the pod. vLLM's OpenAI server, with KAITO's old `/chat` beside it.

It runs in vLLM's own environment, so its modules import the standard library, vllm and what vllm brings
(fastapi, pydantic, opentelemetry), and nothing of the control plane.
"""
