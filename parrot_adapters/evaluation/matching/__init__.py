"""Which option a reply chooses: the matchers of the field, reproduced to the letter, and our own in every script."""
