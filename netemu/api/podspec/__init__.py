"""The PodSpec, which Pods and the templates of all workloads share: its defaults and its rules."""
