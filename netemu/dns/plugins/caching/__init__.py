"""What the plugin `cache` keeps, and what its options say."""
