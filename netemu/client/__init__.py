"""How the rest of netemu knows the cluster: the API client, informers, the work queue."""
