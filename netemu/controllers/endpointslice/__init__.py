"""Which addresses stand behind a Service, in slices of at most a hundred.

`ports` and `endpoint` turn a pod into an endpoint; `slices` spreads endpoints over slices and
changes as few as it can; `members` knows which pods a Service selects; `controller`, `endpoints`
(the old Endpoints object) and `mirroring` (hand-written Endpoints into slices) act.
"""
