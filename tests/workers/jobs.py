"""RQ's view of the questions in a test: jobs, their ends, and who works on them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import redis
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from tests.valkey import ValkeyServer


def fetch(connection: redis.Redis, job_id: str) -> Job:
    """The job as it is now."""
    return Job.fetch(job_id, connection=connection, serializer=JSONSerializer)


def reason(job: Job) -> str:
    """Why it failed, for the operator."""
    result = job.latest_result()
    return (result and result.exc_string) or ""


def wait_until(connection: redis.Redis, job_id: str, status: JobStatus, timeout_s: float = 20) -> Job:
    """The job once it has this status."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        job = fetch(connection, job_id)
        if job.get_status() == status:
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job is {job.get_status()}, not {status}")


def rq_info(valkey: ValkeyServer) -> str:
    """What `rq info` prints."""
    program = Path(sys.executable).with_name("rq")
    return subprocess.run(
        [program, "info", "-u", valkey.url, "--raw", "-S", "json"], capture_output=True, text=True, check=True
    ).stdout


def wait_for_worker(connection: redis.Redis, name: str = "worker_0", timeout_s: float = 20) -> None:
    """Return when a worker of this name has said that it works."""
    end_s = time.monotonic() + timeout_s
    while connection.hget(f"rq:worker:{name}", "state") not in (b"idle", b"busy"):
        assert time.monotonic() < end_s
        time.sleep(0.02)
