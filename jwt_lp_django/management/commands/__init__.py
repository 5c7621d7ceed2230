"""The commands of this app for `manage.py`."""
