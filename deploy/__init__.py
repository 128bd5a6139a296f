"""How Kaito Bus is brought to a cluster, or to one machine."""
