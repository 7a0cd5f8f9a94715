"""Asking a model: batches of questions, its replies or the likelihood of each option, kept on disk as they are made."""
