"""HorizontalPodAutoscaler: as many pods as the load asks for.

`metrics` where usage comes from (a protocol; the cluster wires it); `calculate` how many replicas
usage asks for (pure); `behavior` how fast the number may move (pure); `controller` acts.
"""
