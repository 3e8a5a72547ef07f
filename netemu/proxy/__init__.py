"""Services and endpoints -> rules: kube-proxy as pure functions."""
