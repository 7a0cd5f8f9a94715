"""What tests of several rooms share: hosts, data and runs on disk.

Tests say ``from support.shards import ...``; pytest's ``pythonpath`` has this folder's parent.
"""
