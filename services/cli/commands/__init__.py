"""The commands of `kaitobus`, one a file. Each imports what it needs only when it runs, so that help is quick."""
