"""The few names of vLLM that moved between 0.32 (its CPU build) and 0.33 (the official one)."""

try:
    from vllm.entrypoints.common.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.exceptions import ChatTemplateResolutionError
except ImportError:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.renderers.chat_utils import ChatTemplateResolutionError

__all__ = ["ChatTemplateResolutionError", "make_arg_parser", "validate_parsed_serve_args"]
