"""Background exchange between a guard and its store: polls, usage, heartbeats and pushes."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.events import log_event
from jwt_lp._support.worker import ForkSafeLock, weak_callback
from jwt_lp.stores import ProcessHeartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp._support.worker import Worker
    from jwt_lp.revocation.poller import RevocationPoller
    from jwt_lp.stores import Store
    from jwt_lp.usage.recorder import UsageRecorder

HEARTBEAT_INTERVAL: Final = 10.0
FIRST_POLL_TIMEOUT: Final = 2.0
"""How many seconds a request waits for the first poll, once in each process."""
_LISTENER_CHECK_INTERVAL: Final = 5.0
_NEVER_POLLED_AGE: Final = 1e9


class StoreSync:
    """The background jobs of one guard on its store, run by `worker`.

    `service` and `policy` (a digest) are part of each heartbeat. `push` is the URL of a Redis, or "" for none.
    `clock` returns seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        worker: Worker,
        revocations: RevocationPoller,
        recorder: UsageRecorder,
        *,
        service: str,
        policy: str,
        push: str,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._worker = worker
        self._revocations = revocations
        self._recorder = recorder
        self._service = service
        self._policy = policy
        self._push = push
        self._clock = clock
        self._process = f"{socket.gethostname()}:{os.urandom(6).hex()}"
        self._store_lock = ForkSafeLock()
        self.first_poll_done: bool = False
        self._first_poll = threading.Event()
        os.register_at_fork(after_in_child=weak_callback(self._reset_after_fork))
        # This keeps the recorder alive until `close`, as the worker's thread does: usage of a dropped guard is written.
        atexit.register(self._at_exit)
        worker.schedule(self._poll, name="revocations")
        worker.schedule(self._flush, name="usage")
        worker.schedule(self._send_heartbeat, name="heartbeat")
        self._listener: Any = None
        if push:
            # Here and not where the listener starts: a child that is forked while a thread imports waits for ever.
            from jwt_lp.stores.push import import_dependencies

            import_dependencies()
            worker.schedule(self._ensure_listener, name="push")

    def await_first_poll(self, *, wait: bool) -> bool:
        """Wait once (at most 2 s) for this process's first poll; False if that would block and `wait` is False.

        Each process polls before it decides, because a snapshot from before a fork may be old without being stale,
        and a revocation is promised to reach every process. If the store does not answer, the age of the snapshot
        decides, as always.
        """
        if not self._first_poll.is_set():
            # A forked child inherits the times at which its parent wanted to run these jobs next.
            for name in ("revocations", "heartbeat", "push"):
                self._worker.wake(name)
            self._worker.ensure_running()
            if self._worker.running:
                if not wait:
                    return False
                self._first_poll.wait(FIRST_POLL_TIMEOUT)
        self.first_poll_done = True
        return True

    def close(self) -> None:
        """Write the recorded usage and close the store. Never raises."""
        atexit.unregister(self._at_exit)
        if self._listener is not None:
            self._listener.close()
        try:
            self._flush()
        except Exception:  # noqa: BLE001 - the process is ending, and nothing else can be done
            pending = self._recorder.status().pending
            log_event(logging.ERROR, "usage_lost", {"pending": pending, "service": self._service})
        self._store.close()

    def _reset_after_fork(self) -> None:
        """A forked child has not polled yet."""
        self.first_poll_done = False
        self._first_poll = threading.Event()

    def _at_exit(self) -> None:
        """Write what this process counted; a process that never used an inherited guard has nothing to write."""
        if self._worker.running or self._recorder.status().pending:
            self._worker.close()
            self.close()

    def _poll(self) -> float:
        try:
            with self._store_lock:
                return self._revocations.poll()
        finally:
            self._first_poll.set()

    def _flush(self) -> float:
        with self._store_lock:
            return self._recorder.flush()

    def _send_heartbeat(self) -> float:
        heartbeat = ProcessHeartbeat(
            process=f"{self._process}:{os.getpid()}",
            service=self._service,
            host=socket.gethostname(),
            pid=os.getpid(),
            sequence=self._revocations.sequence,
            policy=self._policy,
            age=min(self._revocations.age(), _NEVER_POLLED_AGE),
            at=self._clock(),
        )
        with self._store_lock:
            self._store.record_heartbeat(heartbeat)
        return HEARTBEAT_INTERVAL

    def _ensure_listener(self) -> float:
        """Start this process's listener for pushes where none runs, for example after a fork."""
        if self._listener is None or self._listener.pid != os.getpid():
            # A child that is forked in the middle of an import would wait for that import's lock for ever.
            with self._store_lock:
                from jwt_lp.stores.push import Listener

                listener: Any = Listener(self._push, lambda: self._worker.wake("revocations"))
            listener.pid = os.getpid()
            self._worker.spawn(listener.run, name="push listener")
            # INVARIANT: assigned last. Neither a child that is forked meanwhile nor the next round after a failed
            # start may take a listener that does not run for one that does.
            self._listener = listener
        return _LISTENER_CHECK_INTERVAL
