"""Predicted memory beside what the engine reported: the rows, the comparison, and the page that shows both."""
