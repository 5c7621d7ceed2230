"""Internal helpers: TOML with line numbers, validation, the background worker."""
