"""A load generator, run as a process of its own: `python -m benchmarks.load`.

It reads one job a line from standard input, and writes one answer a line. A few connections stay open, and each sends
its next request as soon as it has the response to the last one. Only addresses on loopback are called.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final, Self

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


@dataclass(frozen=True, slots=True)
class Job:
    """One request with each of these Authorization headers, in this order, over so many connections."""

    port: int
    path: str
    authorizations: Sequence[str]
    connections: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The seconds that a job took, and those of each request."""

    seconds: float
    latencies: Sequence[float]


class LoadGenerator:
    """The generator's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """A new process, which ends with the context."""
        command = [sys.executable, "-m", "benchmarks.load"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield cls(process)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)

    def run(self, job: Job) -> Answer:
        """Send the job's requests; `RuntimeError` if one does not succeed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has ended: a request failed")
        return Answer(**json.loads(line))


def main() -> None:
    """Answer jobs until standard input ends."""
    for line in sys.stdin:
        answer = asyncio.run(_run(Job(**json.loads(line))))
        print(json.dumps(asdict(answer)), flush=True)


async def _run(job: Job) -> Answer:
    requests = [
        f"GET {job.path} HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\nAccept: application/json\r\n"
        f"Authorization: {authorization}\r\n\r\n".encode()
        for authorization in job.authorizations
    ]
    waiting, latencies = iter(requests), list[float]()
    # Opening the connections is not measured: they are kept alive.
    streams = [await asyncio.open_connection("127.0.0.1", job.port) for _ in range(job.connections)]
    start = time.perf_counter()
    await asyncio.gather(*(_use(reader, writer, waiting, latencies) for reader, writer in streams))
    seconds = time.perf_counter() - start
    for _, writer in streams:
        writer.close()
    return Answer(seconds, latencies)


async def _use(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: Iterator[bytes], latencies: list[float]
) -> None:
    for request in waiting:
        start = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(_END)).lower()
        if not head.startswith(b"http/1.1 200 ") or _LENGTH not in head:
            raise RuntimeError(f"not a response that was expected: {head.decode('ascii', 'replace')}")
        await reader.readexactly(int(head.partition(_LENGTH)[2].partition(b"\r\n")[0]))
        latencies.append(time.perf_counter() - start)


if __name__ == "__main__":
    main()
