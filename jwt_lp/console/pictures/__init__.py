"""Pictures of the console: the coordinates of each chart, and the sentence that says the same.

These modules compute numbers and no markup. `templates/_pictures.html` draws them. Beside each picture the page has the
same numbers as text or as a table.
"""
