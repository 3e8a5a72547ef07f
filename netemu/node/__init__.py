"""Everything that touches a node's kernel, and nothing else does."""
