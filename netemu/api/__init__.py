"""Kubernetes' half of the vocabulary: objects as plain JSON, and what is known about each kind.

Objects stay plain dictionaries, so that unknown fields survive a round trip. They are shared: what
a client or an informer hands out is never changed in place; `meta.copy` first.
"""
