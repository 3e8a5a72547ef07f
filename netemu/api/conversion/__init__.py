"""Conversions between the versions of a kind, one kind a file. None changes what it is given."""
