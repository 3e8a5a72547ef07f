"""CronJob: a Job for each time that a cron line names.

`schedule` the times (pure, over croniter); `plan` what to do now (pure); `controller` acts.
"""
