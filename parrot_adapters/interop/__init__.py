"""Where the layer meets transformers and peft. Nothing else in the library imports either, and only when needed."""
