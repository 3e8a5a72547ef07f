"""Who asks (certificates, tokens, the unix socket) and what he may do (RBAC)."""
