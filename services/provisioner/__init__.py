"""The provisioner: brings the number of nodes to what is demanded of one provider, and says how far it is.

One process serves one provider. The loop is the same for all; a provider only knows how to offer, list,
create and delete machines of its cloud.
"""
