"""The background worker, values per process, fork-safe locks and time limits."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING

import pytest

from jwks_server import eventually
from jwt_lp._support.worker import ForkSafeLock, PerProcess, Worker, time_limit
from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def others() -> set[threading.Thread]:
    """The threads that ran before the test; guards of other tests have workers too."""
    return set(threading.enumerate())


def working(others: set[threading.Thread]) -> set[threading.Thread]:
    """The worker threads that were started since."""
    return {thread for thread in threading.enumerate() if thread.name == "jwt-lp worker"} - others


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(clock: Clock) -> Iterator[Worker]:
    worker = Worker(clock=clock)
    yield worker
    worker.close()


class Counted:
    """A job that counts its runs, and returns a pause or raises."""

    def __init__(self, pause: float = 60.0, error: BaseException | None = None) -> None:
        self.runs = 0
        self.pause = pause
        self.error = error

    def __call__(self) -> float:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return self.pause


def worker_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that the worker logged."""
    return [record.getMessage() for record in caplog.records if record.name == "jwt_lp.worker"]


def recheck_clock(worker: Worker) -> None:
    """Make the worker read the clock again."""
    worker.wake("nobody")


def in_child(action: Callable[[], bool]) -> bool:
    """Whether the action is true in a forked child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if action() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_job_runs_at_once_and_then_after_its_pause(worker: Worker, clock: Clock) -> None:
    """A job runs when the worker starts, and again after the seconds that it returned."""
    job = Counted(pause=60.0)
    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 1)
    clock.now += 59
    recheck_clock(worker)
    time.sleep(0.02)
    assert 1 == job.runs
    clock.now += 1
    recheck_clock(worker)
    assert True is eventually(lambda: job.runs == 2)


def test_nothing_runs_before_ensure_running(worker: Worker) -> None:
    """schedule() starts no thread, and ensure_running() without jobs starts none either."""
    job = Counted()
    before = threading.active_count()
    worker.ensure_running()
    worker.schedule(job, name="job")
    time.sleep(0.01)
    assert (0, before) == (job.runs, threading.active_count())


def test_a_job_added_later_runs_too(worker: Worker) -> None:
    """A job that is scheduled on a running worker runs at once."""
    first, second = Counted(), Counted()
    worker.schedule(first, name="first")
    worker.ensure_running()
    assert True is eventually(lambda: first.runs == 1)
    worker.schedule(second, name="second")
    assert True is eventually(lambda: second.runs == 1)


def test_waking_runs_all_or_the_named(worker: Worker) -> None:
    """wake() makes every job due; with a name, only that one."""
    first, second = Counted(), Counted()
    worker.schedule(first, name="first")
    worker.schedule(second, name="second")
    worker.ensure_running()
    assert True is eventually(lambda: (first.runs, second.runs) == (1, 1))
    worker.wake()
    assert True is eventually(lambda: (first.runs, second.runs) == (2, 2))
    worker.wake("second")
    assert True is eventually(lambda: (first.runs, second.runs) == (2, 3))


def test_a_wake_during_a_run_is_not_lost(worker: Worker) -> None:
    """A job that is woken while it runs is run once more."""
    runs: list[int] = []

    def job() -> float:
        runs.append(1)
        if len(runs) == 1:
            worker.wake("job")
        return 1000.0

    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is eventually(lambda: len(runs) == 2)


def _logged(caplog: pytest.LogCaptureFixture, lines: int) -> bool:
    return len(worker_messages(caplog)) == lines


def test_a_failing_job_is_logged_and_retried_with_growing_pauses(
    worker: Worker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A job that raises is tried again after 5, 10, … at most 60 s; other jobs go on; the message is not logged."""
    bad, good = Counted(error=ValueError("subject 42\x1b[31m")), Counted()
    worker.schedule(bad, name="bad")
    worker.schedule(good, name="good")
    with caplog.at_level(logging.ERROR, "jwt_lp.worker"):
        worker.ensure_running()
        for run, pause in enumerate((5, 10, 20, 40, 60, 60), start=1):
            assert True is eventually(partial(_logged, caplog, run))
            assert True is worker_messages(caplog)[-1].endswith(f"; next try in {pause} s")
            assert True is worker_messages(caplog)[-1].startswith(f"bad failed: ValueError at {__file__}:")
            time.sleep(0.005)
            clock.now += pause
            recheck_clock(worker)
    assert False is ("subject" in caplog.text)
    assert 1 <= good.runs


class Unusual(BaseException):
    """An error that is not an `Exception`."""


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("subject 42"), Unusual("subject 42")])
def test_no_job_ends_the_thread(
    worker: Worker,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    others: set[threading.Thread],
    error: BaseException,
) -> None:
    """A job that raises a BaseException is logged and tried again like any other, and other jobs go on."""
    bad, good = Counted(error=error), Counted()
    worker.schedule(bad, name="bad")
    worker.schedule(good, name="good")
    worker.ensure_running()
    assert True is eventually(lambda: good.runs == 1)
    assert True is worker_messages(caplog)[0].startswith(f"bad failed: {type(error).__name__} at {__file__}:")
    bad.error = None
    clock.now += 60
    recheck_clock(worker)
    assert True is eventually(lambda: (bad.runs, good.runs) == (2, 2))
    assert (1, False) == (len(working(others)), "subject" in caplog.text)


class Broken(Clock):
    """A clock that raises once on demand, which ends the thread outside of any job."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None

    def __call__(self) -> float:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return super().__call__()


def dead(error: BaseException, job: Callable[[], float]) -> Worker:
    """A worker whose thread has ended by `error` after it ran `job` once."""
    clock = Broken()
    worker = Worker(clock=clock)
    worker.schedule(job, name="job")
    worker.ensure_running()
    thread = worker._loop.get().thread
    assert thread is not None
    assert True is eventually(lambda: worker._jobs[0].due > 0)
    clock.now += 60
    clock.error = error
    recheck_clock(worker)
    assert True is eventually(lambda: not thread.is_alive())
    return worker


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("subject 42"), Unusual("subject 42"), ValueError()])
def test_an_ended_thread_is_replaced(
    caplog: pytest.LogCaptureFixture, others: set[threading.Thread], error: BaseException
) -> None:
    """An ended thread is logged, `running` is False, and ensure_running() starts a new one with the same jobs."""
    job = Counted()
    worker = dead(error, job)
    assert (False, 1) == (worker.running, job.runs)
    assert [True] == [
        each.startswith(f"the background thread ended: {type(error).__name__}") for each in worker_messages(caplog)
    ]
    assert False is ("subject" in caplog.text)
    worker.ensure_running()
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 2)
    assert (True, 1) == (worker.running, len(working(others)))
    worker.close()
    assert (False, set()) == (worker.running, working(others))


def test_a_worker_whose_thread_ended_can_be_closed(others: set[threading.Thread]) -> None:
    """close() does not wait for an ended thread, and no thread starts afterwards."""
    worker = dead(SystemExit(), Counted())
    worker.close()
    worker.ensure_running()
    assert (False, set()) == (worker.running, working(others))


def test_a_child_of_a_process_whose_thread_ended_starts_its_own() -> None:
    """After a fork, ensure_running() starts a thread in the child even if the parent's has ended."""
    job = Counted()
    worker = dead(SystemExit(), job)

    def child() -> bool:
        worker.ensure_running()
        worker.wake()
        ran = eventually(lambda: job.runs == 2) and worker.running
        worker.close()
        return ran

    assert True is in_child(child)
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 2)
    worker.close()


def test_a_log_handler_that_raises_ends_no_thread(
    worker: Worker, others: set[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing job whose report cannot be logged keeps its pause, and the jobs after it run."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit

    monkeypatch.setattr(logging.getLogger("jwt_lp.worker"), "handlers", [Broken()])
    bad, good = Counted(error=ValueError()), Counted()
    worker.schedule(bad, name="bad")
    worker.schedule(good, name="good")
    worker.ensure_running()
    assert True is eventually(lambda: good.runs == 1)
    assert (1, True, 1) == (bad.runs, worker.running, len(working(others)))


def test_an_error_of_ours_is_logged_with_its_remedy(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads what to do, on one line; such messages hold no secret."""
    worker.schedule(Counted(error=ConfigurationError("no tables: run migrate", "no Redis")), name="poll")
    with caplog.at_level(logging.ERROR, "jwt_lp.worker"):
        worker.ensure_running()
        assert True is eventually(partial(_logged, caplog, 1))
    assert ["poll failed: ConfigurationError: no tables: run migrate; no Redis; next try in 5 s"] == worker_messages(
        caplog
    )


def test_a_job_that_recovers_starts_over(worker: Worker, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """After a success, the next failure is tried again after 5 s."""
    job = Counted(error=ValueError())
    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is eventually(lambda: len(worker_messages(caplog)) == 1)
    job.error = None
    worker.wake()
    assert True is eventually(lambda: job.runs == 2)
    job.error = ValueError()
    worker.wake()
    assert True is eventually(lambda: len(worker_messages(caplog)) == 2)
    assert True is worker_messages(caplog)[-1].endswith("next try in 5 s")


@pytest.mark.parametrize(("answer", "pause"), [(math.nan, 3600), (math.inf, 3600), (-5, 0.05), (0, 0.05), (7, 7)])
def test_an_odd_pause_neither_spins_nor_stops(worker: Worker, clock: Clock, answer: float, pause: float) -> None:
    """A pause of NaN or infinity becomes an hour; zero or less becomes a twentieth of a second."""
    job = Counted(pause=answer)
    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 1 and worker._jobs[0].due > 0)
    assert pytest.approx(clock.now + pause) == worker._jobs[0].due


def test_ensuring_often_starts_one_thread(worker: Worker, others: set[threading.Thread]) -> None:
    """Concurrent calls of ensure_running() start one worker thread."""
    worker.schedule(Counted(), name="job")
    gate = threading.Barrier(20)

    def ensure_running() -> None:
        gate.wait()
        worker.ensure_running()

    callers = [threading.Thread(target=ensure_running) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert 1 == len(working(others))


def test_while_one_caller_starts_the_thread_another_does_not(worker: Worker) -> None:
    """ensure_running() returns at once if another caller is starting the thread."""
    job = Counted()
    worker.schedule(job, name="job")
    with worker._loop.get().start_lock:
        worker.ensure_running()
        assert None is worker._loop.get().thread
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 1)


def test_the_second_caller_starts_no_second_thread(worker: Worker, others: set[threading.Thread]) -> None:
    """A caller that gets the start lock second finds the thread alive and starts none."""
    worker.schedule(Counted(), name="job")
    worker.ensure_running()
    worker._start(worker._loop.get())
    assert 1 == len(working(others))


def test_closing_stops_for_good(worker: Worker, others: set[threading.Thread]) -> None:
    """After close(), no job runs, ensure_running() starts nothing, and another close() does nothing."""
    job = Counted()
    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 1)
    worker.close()
    worker.close()
    worker.wake()
    worker.ensure_running()
    time.sleep(0.01)
    assert 1 == job.runs
    assert set() == working(others)


def test_closing_before_starting_is_fine(others: set[threading.Thread]) -> None:
    """A worker that never ran can be closed."""
    worker = Worker()
    worker.close()
    worker.schedule(Counted(), name="job")
    worker.ensure_running()
    assert set() == working(others)


def test_closing_waits_no_longer_than_its_timeout(clock: Clock) -> None:
    """close() stops waiting for a job that does not end, and later jobs do not run."""
    release = threading.Event()
    later = Counted()
    worker = Worker(clock=clock)
    worker.schedule(lambda: float(release.wait(5)), name="stuck")
    worker.schedule(later, name="later")
    worker.ensure_running()
    begun = time.monotonic()
    worker.close(timeout=0.05)
    assert True is (time.monotonic() - begun < 1)
    release.set()
    worker.close()
    assert 0 == later.runs


def test_a_job_may_close_its_worker(others: set[threading.Thread]) -> None:
    """close() called on the worker's own thread does not wait for itself."""
    worker = Worker()
    closed = threading.Event()

    def job() -> float:
        worker.close()
        closed.set()
        return 1.0

    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is closed.wait(2)
    assert True is eventually(lambda: not working(others))


def test_spawning_runs_on_a_thread_of_its_own(worker: Worker) -> None:
    """spawn() runs a job once, on a daemon thread."""
    seen: list[tuple[str, bool]] = []
    worker.spawn(
        lambda: seen.append((threading.current_thread().name, threading.current_thread().daemon)), name="errand"
    )
    assert True is eventually(lambda: seen == [("jwt-lp errand", True)])


@pytest.mark.parametrize("error", [KeyError("secret"), KeyboardInterrupt("secret"), SystemExit("secret")])
def test_a_spawned_job_that_raises_is_logged(
    worker: Worker, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """An exception of a spawned job is logged by type and place, and printed nowhere."""

    def job() -> None:
        raise error

    worker.spawn(job, name="errand")
    assert True is eventually(lambda: len(worker_messages(caplog)) == 1)
    assert True is worker_messages(caplog)[0].startswith(f"errand failed: {type(error).__name__} at ")
    assert ("", "") == capfd.readouterr()
    assert False is ("secret" in caplog.text)


def test_a_thread_that_cannot_start_is_logged_and_retried(
    worker: Worker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ensure_running() does not raise if the thread cannot start: it logs, and the next call tries again."""
    job = Counted()
    worker.schedule(job, name="job")

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        worker.ensure_running()
    assert 1 == len(worker_messages(caplog))
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 1)


def test_a_forked_child_has_a_thread_of_its_own(worker: Worker) -> None:
    """After a fork, the first ensure_running() in the child starts its own worker, and due jobs run there."""
    job = Counted()
    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 1)

    def child() -> bool:
        worker.ensure_running()
        worker.wake()
        ran = eventually(lambda: job.runs == 2)
        worker.close()
        return ran

    assert True is in_child(child)
    assert 1 == job.runs


def test_a_fork_during_a_wake_does_not_block_the_child(worker: Worker) -> None:
    """A lock that the parent's thread held at the fork does not block the child."""
    job = Counted()
    worker.schedule(job, name="job")
    worker.ensure_running()
    assert True is eventually(lambda: job.runs == 1)
    with worker._loop.get().wakeup._cond:  # type: ignore[attr-defined]

        def child() -> bool:
            worker.wake()
            worker.schedule(Counted(), name="second")
            worker.ensure_running()
            ran = eventually(lambda: job.runs == 2)
            worker.close()
            return ran

        assert True is in_child(child)


def test_a_block_within_its_time_is_left_alone() -> None:
    """time_limit() does not affect a block that ends in time, whether it succeeds or raises."""
    calls: list[int] = []
    with time_limit(60.0, lambda: calls.append(1)):
        pass
    with pytest.raises(KeyError), time_limit(60.0, lambda: calls.append(1)):
        raise KeyError
    assert ([], False) == (calls, any(thread.name == "jwt-lp alarm" for thread in threading.enumerate()))


@pytest.mark.parametrize("error", [None, KeyError("half"), OSError("cut")])
def test_a_block_that_takes_too_long_is_aborted(error: Exception | None) -> None:
    """time_limit() calls `abort` from another thread, and TimeoutError replaces the outcome of the block."""
    cut = threading.Event()

    def block() -> None:
        with time_limit(0.02, cut.set):
            assert True is cut.wait(5)
            if error is not None:
                raise error

    with pytest.raises(TimeoutError):
        block()


def test_an_aborted_block_exits_after_abort_returned() -> None:
    """`abort` has returned when the block exits, so it cannot reach a resource that is opened later."""
    begun, ended = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.1)
        ended.set()

    with pytest.raises(TimeoutError), time_limit(0, slow):
        begun.wait(5)
    assert True is ended.is_set()


def test_an_oserror_of_abort_is_ignored() -> None:
    """An OSError of `abort` is ignored, and TimeoutError is raised."""
    tried = threading.Event()

    def gone() -> None:
        tried.set()
        raise OSError("not connected")

    with pytest.raises(TimeoutError), time_limit(0, gone):
        tried.wait(5)


def test_each_process_has_one_value() -> None:
    """PerProcess gives every thread of a process the same value, and a forked child another."""
    held: PerProcess[list[int]] = PerProcess(list)
    gate = threading.Barrier(10)
    seen: list[list[int]] = []

    def ask() -> None:
        gate.wait()
        seen.append(held.get())

    askers = [threading.Thread(target=ask) for _ in range(10)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert {id(held.get())} == {id(value) for value in seen}
    mine = held.get()
    assert True is in_child(lambda: held.get() is not mine and held.get() is held.get())
    assert mine is held.get()


def test_a_reused_process_id_gets_a_new_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process does not get the value of an earlier process with the same ID."""
    held: PerProcess[list[int]] = PerProcess(list)
    seen = [held.get()]
    for pid in (2, 3, 2):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        seen.append(held.get())
    assert 4 == len({id(value) for value in seen})


def test_a_fork_waits_for_a_fork_safe_lock() -> None:
    """A fork waits for the lock up to its timeout; the child's lock is free, and the parent's stays usable."""
    lock = ForkSafeLock(0.5)
    order: list[str] = []

    def hold(seconds: float) -> None:
        with lock:
            held.set()
            time.sleep(seconds)
            order.append("held")

    for seconds, expected in ((0.2, ["held", "forked"]), (1.0, ["forked", "held"])):
        order.clear()
        held = threading.Event()
        holder = threading.Thread(target=hold, args=(seconds,))
        holder.start()
        held.wait(5)

        def free() -> bool:
            with lock:
                return True

        assert True is in_child(free)
        order.append("forked")
        holder.join()
        assert expected == order
        assert True is free()
    lock._in_child()
    assert True is free()


def test_a_forgotten_lock_is_not_kept_alive() -> None:
    """Fork hooks do not keep a deleted lock alive."""
    gone = weakref.ref(ForkSafeLock())
    assert None is gone()
    assert True is in_child(lambda: True)
