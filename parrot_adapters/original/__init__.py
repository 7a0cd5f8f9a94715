"""Checkpoints of the original PARROT code: read, and turned into a standard host and an adapter."""
