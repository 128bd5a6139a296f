"""Facts on any model of the Hugging Face hub: read from its files over HTTP, remembered, never waited for."""
