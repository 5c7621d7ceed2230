"""Plans: worksheets, previews, application and undo."""
