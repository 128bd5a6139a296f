"""The list of architectures in the presets is what the engine's own registry has."""

from __future__ import annotations

from deploy.local.engine import EngineEnv
from deploy.local.engine.architectures import FILE, ask_engine, render


def test_the_list_is_that_of_the_engine(engine: EngineEnv) -> None:
    listed = ask_engine(engine)
    assert "LlamaForCausalLM" in listed.text
    assert "BertModel" in listed.other
    assert FILE.read_text() == render(listed), "run `make architectures`"
