"""The composition root: which parts a cluster is made of, and how it comes and goes.

Nothing else wires: every part is handed what it needs. `up` and `down` run in the command's
process, `control_plane` in the daemon's.
"""
