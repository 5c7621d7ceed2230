"""Modules that a thread imports. A child that is forked during such an import waits forever."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys, threading
imported = []

def importer():
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame.f_globals["__name__"]

class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread() and importer().startswith({by!r}):
            imported.append(name)

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
print(json.dumps([imported, failures]))
"""


def imports_of_thread(prepare: str, work: str, *arguments: str, by: str = "") -> list[list[str]]:
    """The modules that a thread imports during `work`, after `prepare` in a new process, and its failures.

    With `by`, only what modules import whose names begin with it.
    """
    script = SCRIPT.format(prepare=prepare, work=work, by=by)
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    imports_and_failures: list[list[str]] = json.loads(done.stdout)
    return imports_and_failures
