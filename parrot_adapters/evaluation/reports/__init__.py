"""A run or a comparison as pages and figures."""
