"""Clouds that refuse on command: a small Azure and moto's AWS behind one face, for tests and figures of both."""
