"""Revisions, watch, compaction: the etcd subset that the API server needs."""
