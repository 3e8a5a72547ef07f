"""The rules of the plugin `rewrite`, one field a file."""
