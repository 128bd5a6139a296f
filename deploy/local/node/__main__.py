"""`python -m deploy.local.node --name N --kubeconfig F --state-dir D ...`: run the node agent."""

from __future__ import annotations

import asyncio
import gc
import sys

gc.disable()  # all that is loaded stays: to look for garbage meanwhile is a quarter of the start

from deploy.local.node.agent import AgentError, run_agent  # noqa: E402
from deploy.local.node.options import parse_options  # noqa: E402
from services.chassis.kube import BadKubeconfig  # noqa: E402
from services.chassis.logs import setup_logs  # noqa: E402


def main() -> int:
    """Run until told to stop. Exit code 1, and a sentence on standard error, when that is not possible."""
    gc.freeze()
    gc.enable()
    options = parse_options()
    setup_logs(options.log_level)
    try:
        asyncio.run(run_agent(options))
    except (AgentError, BadKubeconfig) as error:
        sys.stderr.write(f"node agent {options.name}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
