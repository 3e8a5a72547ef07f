"""Revisions, watch, compaction: the etcd subset that the API server needs.

`protocol` says what a store promises; `memory`, `sqlite` (default) and `etcd` (shared by several
servers) keep it, and pass the same tests. `index` numbers writes before they are on the disk.
"""
