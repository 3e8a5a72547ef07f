"""Job: pods that run until enough of them have succeeded.

`endings` when a pod is over and how long its replacement waits; `counting` which finished pods
count, each once; `indexes` the numbers of an Indexed Job, `perindex` what each may fail; `policy`
what a pod's failure means, `success` when enough have succeeded; `plan` what to do next;
`controller` acts. All but the last are pure.
"""
