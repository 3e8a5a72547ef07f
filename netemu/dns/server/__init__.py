"""Sockets, configurations and how a query runs through them."""
