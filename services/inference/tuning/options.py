"""The command line of `kaitobus-tune`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

PORT = 5000


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the options. Ends the process with a word where they are wrong."""
    parser = argparse.ArgumentParser(prog="kaitobus-tune", description=__doc__)
    parser.add_argument("--model", required=True, help="folder with the model, or its id on the hub")
    parser.add_argument("--model-name", help="the model's id for people; left out, what --model says")
    parser.add_argument("--revision", help="commit of the model on the hub")
    parser.add_argument("--method", choices=("lora", "qlora"), default="lora")
    parser.add_argument("--config", help="file with the training configuration, YAML or JSON")
    parser.add_argument("--processes", type=int, default=1, help="GPUs to train on side by side")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data-url", action="append", default=[], help="address of a file with data")
    source.add_argument("--data-image", help="image or artifact with data")
    source.add_argument("--data-folder", help="folder with data")
    parser.add_argument("--pull-secret", action="append", default=[], help="credentials for the data's image")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--push-image", help="image to push the adapter as")
    target.add_argument("--into", help="folder to put the adapter as")
    parser.add_argument("--push-secret", action="append", default=[], help="credentials for the push")
    parser.add_argument("--work", required=True, help="folder that outlives a restart: checkpoints, data, result")
    parser.add_argument("--checkpoints", help="folder for them that outlives the pod; left out, they are in --work")
    parser.add_argument("--port", type=int, default=PORT, help="where /progress and /metrics are answered")
    parser.add_argument("--max-data-gib", type=float, default=256.0, help="GiB of data at most")
    parser.add_argument("--plain-http", action="store_true", help="speak HTTP to the registry")
    parser.add_argument("--ca", help="file of the authorities that sign the registry's certificate")
    return parser.parse_args(argv)
