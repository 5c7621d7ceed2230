"""Which modules does another thread import? Whoever is forked in the middle of that waits for it for ever."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys, threading
found = []

class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            found.append(name)

sys.meta_path.insert(0, Finder())
{prepare}
failures = []

def work():
    try:
        {work}
    except Exception as error:
        failures.append(repr(error))

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps([found, failures]))
"""


def imports_of_thread(prepare: str, work: str, *arguments: str) -> list[list[str]]:
    """What a thread imports that does `work` after `prepare` in a new process, and what it failed with."""
    script = SCRIPT.format(prepare=prepare, work=work)
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found
