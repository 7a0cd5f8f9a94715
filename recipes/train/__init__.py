"""Two-stage training and retrofitting: one readable file per kind of run, YAML presets beside them."""
