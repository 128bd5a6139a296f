"""How often a process of the engine looks for garbage: seldom while it imports vLLM, as usual afterwards.

The import makes very many objects that stay; with Python's own threshold, to look at them again and again is a
quarter to a third of its time. Each process of the engine imports for itself, and begins with
`services.inference.app`, where the usual threshold is put off: multiprocessing imports the program's first module in
every process that it spawns.
"""

import gc

SELDOM = 100_000
"""New objects after which the youngest are looked at, instead of 700; measured to cost no more than never to look."""
_USUAL = gc.get_threshold()


def look_seldom() -> None:
    """Look for garbage seldom. A process that never looks as usual again does no harm: vLLM freezes what it holds."""
    gc.set_threshold(SELDOM)


def look_as_usual() -> None:
    """Look as Python does, but for what is there by now: modules stay."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
