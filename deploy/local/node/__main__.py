"""`python -m deploy.local.node --name N --kubeconfig F --state-dir D ...`: run the node agent."""

from __future__ import annotations

import asyncio
import sys

from deploy.local.node.agent import AgentError, run_agent
from deploy.local.node.options import parse_options
from services.chassis.kube import BadKubeconfig
from services.chassis.logs import setup_logs


def main() -> int:
    """Run until told to stop. Exit code 1, and a sentence on standard error, when that is not possible."""
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
