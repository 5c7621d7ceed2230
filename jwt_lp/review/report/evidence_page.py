"""HTML page of an evidence file that verifies itself in the browser.

The page is one file and makes no requests. Its script verifies every entry with WebCrypto before it shows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from jwt_lp.review.report.assets import csp_hash, read_asset

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '{script_hash}'; style-src '{style_hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evidence of an access review</title>
<style>{style}</style>
</head>
<body>
<h1>Evidence of an access review</h1>
<p id="verdict" role="status" class="wait">This page verifies itself with a script. Without it, run
<code>jwt-lp evidence verify</code>.</p>
<div id="trust"></div>
<main id="entries"></main>
<script id="evidence" type="application/json">{evidence}</script>
<script>{script}</script>
</body>
</html>
"""


def render_evidence(lines: Iterable[bytes]) -> str:
    """The page of an evidence file, with its lines as they are."""
    texts = [line.decode("utf-8", "replace") for line in lines]
    # INVARIANT: no text of the file can end the element that holds it.
    evidence = json.dumps(texts).replace("<", "\\u003c")
    style, script = read_asset("evidence.css"), read_asset("evidence.js")
    return _PAGE.format(
        style=style, script=script, style_hash=csp_hash(style), script_hash=csp_hash(script), evidence=evidence
    )
