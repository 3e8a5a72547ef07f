"""The `proxy` subresource: HTTP, and what it is upgraded to, through the API server."""
