"""The HTTP API and its pipeline."""
