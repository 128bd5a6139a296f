"""`kaitobus`, the command line: start everything on one machine, and see why a workspace is as it is."""
