"""The conformance suite: whether a provisioner, in whatever language, keeps to the contract in `docs/contract`.

It plays the rest of Kaito Bus towards one provisioner, through NATS alone: it demands nodes for workspaces of
its own, reads what is reported, and holds it against the contract's sentences.
"""
