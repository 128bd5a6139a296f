"""A hub of models that speaks the Hugging Face hub's protocol on this machine, with another host for large files."""
