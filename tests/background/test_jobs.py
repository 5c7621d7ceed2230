"""The jobs of docs/jobs.md, run by the real libraries."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.pages import blocks
from jwt_lp.testing.authority import Authority
from servers import REDIS, redis_server

AUTHORITY = Authority()
ISSUER = AUTHORITY.issuer


def token(*permissions: str, lifetime: float = 60) -> str:
    """A token for a job, narrowed from one that holds more."""
    whole = ISSUER.issue("alice", permissions=["reports:*:build", "reports:*:read"])
    return ISSUER.narrow(whole, permissions, lifetime=lifetime)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page, and the settings of the worker."""
    for block in blocks("docs/jobs.md", "python"):
        (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    (tmp_path / "settings.py").write_text(f"JWT_LP = {AUTHORITY.settings()!r}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    jobs: Any = sys.modules.get("jobs")
    if jobs is not None:
        jobs.guard.close()
    for name in ("jobs", "settings", "celery_tasks", "rq_jobs"):
        sys.modules.pop(name, None)


class Running:
    """A worker in a process of its own; `text` is what it wrote."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self._output = folder / "worker.log"
        self._file = self._output.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": str(folder)},
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    @property
    def text(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self._file.close()


def parts_of(*tokens: str) -> list[str]:
    return [part[:30] for each in tokens for part in each.split(".")[1:]]


def test_a_job_runs_only_if_its_token_allows_it(folder: Path) -> None:
    """In the process itself: the right permission, another report's, an expired token, none, and a forged one."""
    import jobs  # type: ignore[import-not-found]  # written by the fixture

    ran: list[int] = []

    @jobs.requires("reports:{report_id}:build")
    def build(report_id: int) -> int:
        ran.append(report_id)
        return report_id

    good = token("reports:42:build")
    assert 42 == build(token=good, report_id=42)
    expired = AUTHORITY.token(permissions=["reports:42:build"], lifetime=-5)
    for bad, report in (
        (good, 43),
        (token("reports:42:read"), 42),
        (expired, 42),
        ("", 42),
        (good[:-9] + "AAAAAAAAA", 42),
    ):
        with pytest.raises(jobs.JobRefused) as caught:
            build(token=bad, report_id=report)
        frame = caught.value.__traceback__
        while frame is not None and bad:
            if frame.tb_frame.f_code.co_filename != __file__:
                assert bad not in map(str, frame.tb_frame.f_locals.values())
            frame = frame.tb_next
    assert [42] == ran


def test_celery_without_a_broker(folder: Path) -> None:
    """Eagerly, with Celery's own calling of tasks."""
    pytest.importorskip("celery")
    import celery_tasks  # type: ignore[import-not-found]  # written by the fixture
    import jobs

    celery_tasks.app.conf.task_always_eager = True
    assert "report 42" == celery_tasks.enqueue(token("reports:42:build"), 42).get()
    refused = celery_tasks.enqueue(token("reports:42:build"), 43)
    with pytest.raises(jobs.JobRefused):
        refused.get()
    assert 0 == refused.retries or refused.retries is None


@pytest.mark.servers
def test_celery_over_redis(folder: Path) -> None:
    """A worker that forks decides by its own guard; its log and its events show no token."""
    pytest.importorskip("celery")
    with redis_server():
        pass
    queue = f"jwt-lp-{secrets.token_hex(6)}"
    import celery_tasks

    app = celery_tasks.app
    app.conf.update(broker_url=REDIS, result_backend=REDIS, task_default_queue=queue)
    command = ("celery", "-A", "celery_tasks", "worker", "-P", "prefork", "-c", "1", "-Q", queue, "-E", "-l", "debug")
    worker = Running(folder, *command, BROKER=REDIS, BACKEND=REDIS)
    good, other = token("reports:42:build"), token("reports:42:read")
    results = []
    try:
        results = [celery_tasks.enqueue(good, 42), celery_tasks.enqueue(good, 43), celery_tasks.enqueue(other, 42)]
        assert "report 42" == results[0].get(timeout=40)
        for refused in results[1:]:
            with pytest.raises(Exception, match=r"^\w{10}$") as caught:
                refused.get(timeout=20)
            assert "JobRefused" == type(caught.value).__name__
    finally:
        worker.stop()
        for result in results:
            result.forget()
        app.close()
        with redis_server() as redis:
            redis.delete(queue, f"_kombu.binding.{queue}", f"_kombu.binding_permanent.{queue}")
    assert "build_report" in worker.text
    assert [] == [part for part in parts_of(good, other) if part in worker.text]


@pytest.mark.servers
def test_rq_over_redis(folder: Path) -> None:
    """The same with RQ's worker."""
    rq = pytest.importorskip("rq")
    import rq_jobs  # type: ignore[import-not-found]  # written by the fixture

    name = f"jwt-lp-{secrets.token_hex(6)}"
    good, other = token("reports:42:build"), token("reports:42:read")
    with redis_server() as redis:
        queue = rq.Queue(name, connection=redis)
        enqueued = [
            rq_jobs.enqueue(queue, good, 42),
            rq_jobs.enqueue(queue, good, 43),
            rq_jobs.enqueue(queue, other, 42),
        ]
        worker = Running(folder, "rq.cli", "worker", "--burst", "--url", REDIS, name)
        try:
            worker.process.wait(60)
            assert "report 42" == enqueued[0].return_value()
            for job in enqueued[1:]:
                result = job.latest_result()
                assert (True, True) == (job.is_failed, "JobRefused" in result.exc_string)
                assert [] == [part for part in parts_of(good, other) if part in result.exc_string]
        finally:
            worker.stop()
            for job in enqueued:
                job.delete()
            queue.delete()
    assert "build_report 42" in worker.text
    assert [] == [part for part in parts_of(good, other) if part in worker.text]
