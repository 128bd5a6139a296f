"""Moves files in and out of an OCI registry: models, adapters, data sets and results of tuning.

`pull` brings an image or artifact to a folder, `push` makes one of a folder. Both speak the OCI distribution
specification over `requests`, from several threads, since hashing and writing take as long as the network. The
client libraries for Python that were looked at (oras 0.2, python-dxf 12) read whole files into memory or do not
resume, have no limits of time and size, and do not know identity tokens.

It imports the standard library, pydantic and requests alone: it runs in the pod and in the command line.
"""
