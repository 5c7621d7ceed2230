"""The guard: settings, runtime, decisions and refusals."""
