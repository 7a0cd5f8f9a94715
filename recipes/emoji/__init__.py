"""The emoji miniature: real pictures and names in six languages, small enough for a laptop."""
