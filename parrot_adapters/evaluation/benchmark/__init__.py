"""What is asked: published benchmarks, their files, rows, prompts and protocols, and predictions made elsewhere."""
