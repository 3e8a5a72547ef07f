"""What a Job does next."""

from __future__ import annotations

from netemu.controllers.job.counting import count
from netemu.controllers.job.plan import plan


def test_an_absurd_parallelism_is_started_bit_by_bit():
    most = 2**31 - 1
    job = {
        "metadata": {"name": "j", "namespace": "default", "uid": "u"},
        "spec": {"parallelism": most, "completions": most, "template": {"spec": {}}},
    }
    assert plan(job, [], count(job, []), 0.0).create == 500
