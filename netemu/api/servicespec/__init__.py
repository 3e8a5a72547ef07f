"""The ServiceSpec: its rules, and what the server keeps or drops when it changes."""
