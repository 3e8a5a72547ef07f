"""The API server.

    request ── http/ ─┬─ auth/ (who, may he) ─ pipeline/ (one verb a file) ─ strategies/ (one kind)
    LocalClient ──────┘                             │
                                            store.txn (compare and swap)
                                                    │ commit
    watches, informers ── dispatch ── collection ── cache ── progress, allocators, custom resources

An object is decoded once and encoded once; from the commit on it is everybody's and never changes.
Reads come from the cache, which has everything that was acknowledged. Streams into pods
(`streams/`) go to the kubelet that `cluster` wires in.
"""
