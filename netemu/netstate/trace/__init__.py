"""Follow a packet through a node's rules, in any proxy mode: `trace`.

The rules of kube-proxy pick endpoints at random, so one packet has several outcomes: `trace`
returns all of them, each with the rules that matched on its way.
"""

from netemu.netstate.trace.outcome import Outcome, Step
from netemu.netstate.trace.walk import RuleSource, trace

__all__ = ["Outcome", "RuleSource", "Step", "trace"]
