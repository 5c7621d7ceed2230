"""Applications that are measured, one module each host: bare, guarded by jwt-lp, and guarded by a peer."""
