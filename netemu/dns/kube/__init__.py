"""Kubernetes objects as DNS data: stripped views, indexes, and what a name means."""
