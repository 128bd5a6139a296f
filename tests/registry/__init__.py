"""A real registry for tests: Debian's docker-registry, fetched once into the user's cache; and layers made by hand."""
