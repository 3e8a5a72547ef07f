"""The kernel's half of the vocabulary: what one node's kernel should hold, as values."""
