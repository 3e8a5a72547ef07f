"""The process that owns a node's containers and outlives the daemon.

It starts in about 15 ms because it imports next to nothing: no typing, dataclasses, asyncio or
logging, and nothing of netemu outside this package. It is process 1 of a PID namespace of its
own, so when it dies, the kernel ends every container of the node with it.
"""
