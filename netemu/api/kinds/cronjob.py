"""CronJob."""

from netemu.api.kind import Kind

CRON_JOBS = Kind(group="batch", version="v1", plural="cronjobs", kind="CronJob", namespaced=True)
