"""The background worker, fork-safe values and locks, and time limits; the only module that starts threads.

Key refresh, revocation polls and usage flushes are jobs of one `Worker`. It starts on first use, and starts again in a
forked child, because a server may fork after it has imported the application.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from jwt_lp.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")
log = logging.getLogger("jwt_lp.worker")

MIN_PAUSE: Final = 0.05
MAX_PAUSE: Final = 3600.0
MIN_RETRY: Final = 5.0
MAX_RETRY: Final = 60.0


class PerProcess(Generic[T]):
    """One value for each process: a forked child gets a new one instead of its parent's locks and threads.

    `make` may be called more than once when threads race, but all of them get the same value.
    """

    __slots__ = ("_by_pid", "_current", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._by_pid: dict[int, T] = {}
        self._current: tuple[int, T] | None = None

    def get(self) -> T:
        """Return the value of this process; it is made on first use."""
        current = self._current
        pid = os.getpid()
        if current is not None and current[0] == pid:
            return current[1]
        # INVARIANT: setdefault is atomic. A lock could be inherited in its locked state, and never be released.
        value = self._by_pid.setdefault(pid, self._make())
        for other in list(self._by_pid):
            if other != pid:
                self._by_pid.pop(other, None)
        self._current = (pid, value)
        return value


def weak_callback(method: Callable[[], None]) -> Callable[[], None]:
    """Wrap a bound method without keeping its object alive, because fork hooks cannot be unregistered."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        bound = reference()
        if bound is not None:
            bound()

    return call


class ForkSafeLock:
    """A lock that a fork waits for, at most `timeout` seconds; the child gets another lock, which is free.

    It protects work that a fork must not interrupt. SQLite, for example, keeps a file's locks in memory, and a child
    forked meanwhile would take the file as locked without end.
    """

    def __init__(self, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._locks: PerProcess[threading.Lock] = PerProcess(threading.Lock)
        self._forking: set[int] = set()
        os.register_at_fork(
            before=weak_callback(self._before),
            after_in_parent=weak_callback(self._after),
            after_in_child=weak_callback(self._in_child),
        )

    def __enter__(self) -> None:
        self._locks.get().acquire()

    def __exit__(self, *_: object) -> None:
        self._locks.get().release()

    def _before(self) -> None:
        if self._locks.get().acquire(timeout=self._timeout):
            self._forking.add(threading.get_ident())

    def _after(self) -> None:
        if threading.get_ident() in self._forking:
            self._forking.discard(threading.get_ident())
            self._locks.get().release()

    def _in_child(self) -> None:
        self._forking.clear()


class _Job:
    """A job with the time of its next run, whether it was woken, and how often it failed in a row."""

    __slots__ = ("due", "failures", "name", "run", "woken")

    def __init__(self, run: Callable[[], float], name: str) -> None:
        self.run: Callable[[], float] = run
        self.name: str = name
        self.due: float = -math.inf
        self.woken: bool = False
        self.failures: int = 0


class _Loop:
    """The state of the worker in one process: its wake-up event, its thread, and the lock for starting it."""

    __slots__ = ("start_lock", "thread", "wakeup")

    def __init__(self) -> None:
        self.wakeup = threading.Event()
        self.start_lock = threading.Lock()
        self.thread: threading.Thread | None = None


class Worker:
    """Runs jobs one after the other on one daemon thread of this process.

    If a job raises, even `SystemExit`, the error is logged by type and place, never by message, because a message may
    contain data. The job is tried again after 5 s, then after longer pauses of up to a minute. A job must bound its own
    time, because a slow one delays the others.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: list[_Job] = []
        self._closed = False
        self._loop = PerProcess(_Loop)

    def schedule(self, job: Callable[[], float], *, name: str) -> None:
        """Run `job` as soon as the worker runs; the job returns the number of seconds until its next run."""
        self._jobs.append(_Job(job, name))
        self._loop.get().wakeup.set()

    def spawn(self, job: Callable[[], None], *, name: str) -> None:
        """Run `job` once on its own short-lived daemon thread; RuntimeError if no thread can start."""
        threading.Thread(target=_run_once, args=(job, name), name=f"jwt-lp {name}", daemon=True).start()

    def wake(self, name: str | None = None) -> None:
        """Make all jobs due now, or only those called `name`."""
        for job in self._jobs:
            if name is None or job.name == name:
                job.woken = True
        self._loop.get().wakeup.set()

    def ensure_running(self) -> None:
        """Start the thread unless it is alive in this process; cheap enough for every request.

        A thread that has ended for any reason is replaced by a new one with the same jobs. Does nothing without jobs or
        after `close`. If no thread can start, the next call tries again.
        """
        loop = self._loop.get()
        if not _is_alive(loop) and self._jobs and not self._closed:
            self._start(loop)

    @property
    def running(self) -> bool:
        """Whether the thread is alive in this process and `close` was not called."""
        return _is_alive(self._loop.get()) and not self._closed

    def close(self, timeout: float = 2.0) -> None:
        """Stop permanently; wait at most `timeout` seconds for a running job. May be called repeatedly."""
        self._closed = True
        loop = self._loop.get()
        loop.wakeup.set()
        thread = loop.thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join(timeout)

    def _start(self, loop: _Loop) -> None:
        if not loop.start_lock.acquire(blocking=False):
            return
        try:
            # Checked again, because another caller may have started it meanwhile.
            if not _is_alive(loop):
                # Set before the start, so that an interruption between the two leaves no unknown thread.
                loop.thread = threading.Thread(target=self._run, args=(loop.wakeup,), name="jwt-lp worker", daemon=True)
                loop.thread.start()
        except RuntimeError as error:
            # Never `log.exception` in this module: a traceback shows messages, and a message may contain data.
            log.error("the background thread cannot start (%s): nothing is renewed until it starts", error)
        finally:
            loop.start_lock.release()

    def _run(self, wakeup: threading.Event) -> None:
        try:
            self._rounds(wakeup)
        except BaseException as error:  # noqa: BLE001 - the interpreter's hook would print the message
            _log_error("the background thread ended: %s; the next request starts it anew", _error_location(error))

    def _rounds(self, wakeup: threading.Event) -> None:
        while True:
            # Cleared before the jobs are checked, so that no wake-up during a round is lost.
            wakeup.clear()
            for job in tuple(self._jobs):
                if self._closed:
                    return
                if job.woken or job.due <= self._clock():
                    self._attempt(job)
            if self._closed:
                return
            wakeup.wait(self._pause())

    def _attempt(self, job: _Job) -> None:
        job.woken = False
        try:
            pause = _clamp_pause(job.run())
        except BaseException as error:  # noqa: BLE001 - the other jobs must go on
            pause = min(MIN_RETRY * 2**job.failures, MAX_RETRY)
            job.failures = min(job.failures + 1, 8)
            _log_error("%s failed: %s; next try in %.0f s", job.name, _error_location(error), pause)
        else:
            job.failures = 0
        job.due = self._clock() + pause

    def _pause(self) -> float:
        now = self._clock()
        soonest = min((job.due for job in self._jobs), default=math.inf)
        return min(max(soonest - now, 0.0), MAX_PAUSE)


@contextmanager
def time_limit(seconds: float, abort: Callable[[], None]) -> Generator[None]:
    """Call `abort` from another thread if the block takes longer than `seconds`, and raise `TimeoutError`.

    `abort` must make the block end soon; it has returned before this context manager exits. An OSError of `abort` means
    that there was nothing left to abort, and is ignored. `TimeoutError` replaces any other exception of the block.
    RuntimeError if no thread can start.
    """
    late = threading.Event()

    def expire() -> None:
        late.set()
        with suppress(OSError):
            abort()

    alarm = threading.Timer(seconds, expire)
    alarm.name, alarm.daemon = "jwt-lp alarm", True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()
        alarm.join()
        # INVARIANT: checked after the timer has ended, so that no result of an aborted block is used.
        if late.is_set():
            raise TimeoutError


def _is_alive(loop: _Loop) -> bool:
    return loop.thread is not None and loop.thread.is_alive()


def _run_once(job: Callable[[], None], name: str) -> None:
    try:
        job()
    except BaseException as error:  # noqa: BLE001 - the interpreter's hook would print the message
        _log_error("%s failed: %s", name, _error_location(error))


def _log_error(message: str, *values: object) -> None:
    """Log on a thread of ours, which must go on even if a log handler of the project raises."""
    with suppress(BaseException):
        log.error(message, *values)


def _clamp_pause(seconds: float) -> float:
    """Bound the pause that a job returns, so that no job spins or sleeps without end; NaN gives the longest pause."""
    return max(MIN_PAUSE, seconds) if seconds < MAX_PAUSE else MAX_PAUSE


def _error_location(error: BaseException) -> str:
    """The type and place of an error, without its message; of our errors for operators, the message, which has no secret."""
    if isinstance(error, (ConfigurationError, StoreError)):
        return f"{type(error).__name__}: {'; '.join(str(error).splitlines())}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"
