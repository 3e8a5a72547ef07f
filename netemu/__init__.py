"""A Kubernetes cluster's network on one Linux machine: real packets, no containers."""

__version__ = "0.1.0"
