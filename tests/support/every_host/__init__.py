"""Every image-text-to-text type of the installed transformers release: in miniature, through an adapter's whole life.

``python tests/support/every_host --write`` runs what has no result yet and writes the table of ``docs/hosts.md``.
"""
