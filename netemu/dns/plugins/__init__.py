"""The plugins, one a file."""
