"""PersistentVolumes and the claims on them.

`match` which volume fits which claim (pure); `provision` what a new volume looks like (pure);
`binder` binds, makes and reclaims; `protection` keeps both while they are in use.
https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""
