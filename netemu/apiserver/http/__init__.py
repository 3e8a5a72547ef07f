"""The pipeline over HTTP: requests in, Kubernetes' documents out."""
