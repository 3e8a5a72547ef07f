"""The resolver: an ordered chain of plugins."""
