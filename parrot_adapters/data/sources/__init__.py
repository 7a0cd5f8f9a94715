"""Where records come from: JSON, tar shards, data sets of the Hub, and the kinds of file that plugins add."""
