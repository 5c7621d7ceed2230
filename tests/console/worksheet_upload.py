"""Sending a worksheet to the console, as the form of a browser does."""

from __future__ import annotations

from console.serving import Person
from hosts.serving import HttpAnswer


def upload(person: Person, campaign: str, part: str, text: str, errors: str = "strict") -> HttpAnswer:
    """Send the worksheet of a part."""
    boundary = "----worksheet"
    parts = {"csrf_token": person.csrf_token, "part": part}
    body = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts.items()
    )
    body += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="worksheet"; filename="decide.csv"\r\n'
        f"Content-Type: text/csv\r\n\r\n{text}\r\n--{boundary}--\r\n"
    )
    headers = person.headers(Content_Type=f"multipart/form-data; boundary={boundary}")
    return person.client.request("POST", f"/campaigns/{campaign}/worksheet/upload", headers, body.encode(errors=errors))
