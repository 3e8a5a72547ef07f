"""StatefulSet: pods with names, claims and an order.

`identity` what makes web-0 web-0; `plan` which pods to start and stop next; `status` what to tell;
`claims` the volumes; `controller` acts. All but the last are pure.
"""
