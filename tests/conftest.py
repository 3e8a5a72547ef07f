"""How generated tests run, in every tier.

The machine may be busy, so they are judged by what they find and not by their time; and they try
the same examples each time, so that a change is judged by itself. `NETEMU_RANDOM=1` tries new ones,
and scripts/fuzz thousands.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=60,
    derandomize="NETEMU_RANDOM" not in os.environ,
)
settings.load_profile("patient")
