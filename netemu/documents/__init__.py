"""YAML and JSON documents as users write them; nothing here knows what is in them."""
