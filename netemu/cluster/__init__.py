"""The composition root: the only wiring."""
