"""Pages of the console, one module each; every module has `routes()`."""
