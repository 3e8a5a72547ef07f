"""Job: pods that run until enough of them have succeeded.

`counting` which finished pods count, each once; `indexes` the numbers of an Indexed Job; `policy`
what a pod's failure means; `plan` what to do next; `controller` acts. All but the last are pure.
"""
