"""The commands that `manage.py` has from this app."""
