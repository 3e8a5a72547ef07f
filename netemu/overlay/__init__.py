"""Nodes -> links, routes, neighbours, FDB: flannel as pure functions."""
