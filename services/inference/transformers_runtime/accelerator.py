"""Tells an error after which the accelerator answers nobody any more from one that concerns a single request. Pure."""

import re

_KIND = "AcceleratorError"
"""PyTorch's class for what a driver or kernel reports. Known by its name: this module does without PyTorch."""
_OUT_OF_MEMORY = "OutOfMemoryError"
"""Passes: the allocator lets go of what the request took."""
_WORDS = re.compile(r"\b(CUDA|HIP|cuDNN|NCCL) error\b|\bdevice-side assert\b", re.IGNORECASE)
"""What libraries on top say in a RuntimeError of their own."""


def is_broken_by(error: BaseException) -> bool:
    """Whether the process must be started anew: a context of CUDA that has failed once fails every call after."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if _OUT_OF_MEMORY in kinds:
        return False
    return _KIND in kinds or (isinstance(error, RuntimeError) and _WORDS.search(str(error)) is not None)
