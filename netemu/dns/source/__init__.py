"""Where the objects come from: the API, or files."""
