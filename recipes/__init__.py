"""Runs, kept apart from the library because they age differently. They use its public names only."""
