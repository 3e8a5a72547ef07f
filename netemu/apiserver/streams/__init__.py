"""Long-lived connections into pods: exec, attach, port-forward, over WebSocket and SPDY."""
