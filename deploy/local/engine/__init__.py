"""The engine on one machine: an environment with vLLM's CPU build, and a small model with real weights."""

from deploy.local.engine.cache import EngineSetupError, Progress
from deploy.local.engine.environment import EngineEnv, ensure_engine
from deploy.local.engine.model import ensure_model

__all__ = ["EngineEnv", "EngineSetupError", "Progress", "ensure_engine", "ensure_model"]
