"""What the options of the plugin `forward` say."""
