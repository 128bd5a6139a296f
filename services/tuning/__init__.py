"""What a user may set of a fine-tuning run, and how a run says that it ended. Pure; pydantic alone.

The scheduler reads it before a node is bought, the pod trains by it, the deployer reads how the pod ended.
"""
