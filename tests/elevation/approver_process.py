"""A process that approves an elevation at a signal: STORE ELEVATION SUBJECT FILE, the file being the signal."""

import sys
import time
from pathlib import Path

from jwt_lp.errors import ElevationClosed
from jwt_lp.stores import ElevationChange, open_store

if __name__ == "__main__":
    url, elevation, subject, start = sys.argv[1:]
    store = open_store(url)
    seen = store.elevation(elevation)
    assert seen is not None
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not Path(start).exists():
        time.sleep(0.002)
    change = ElevationChange(
        elevation=elevation,
        action="approved",
        at=seen.asked_at,
        issuer="i",
        subject=subject,
        digest=seen.digest,
        needed=2,
    )
    try:
        result = "granted" if store.change_elevation(change).since is not None else "waiting"
    except ElevationClosed:
        result = "closed"
    store.close()
    sys.stdout.write(result)
