"""Run a built function in the real Lambda runtime, without a container.

The Runtime Interface Emulator (a binary that the SAM CLI package ships) plays Lambda's side, awslambdaric on
python3.12 the function's. Each runtime has its own two free ports, so several can run side by side.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).parent.parent
LAMBDA_PYTHON: Final = ROOT / ".tools" / "lambda" / "bin" / "python"
INVOCATIONS: Final = "/2015-03-31/functions/function/invocations"
START_TIMEOUT_S: Final = 20.0


class RuntimeUnavailableError(RuntimeError):
    """The tools or the artifact are not there; the text says how to get them."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One invocation from nothing, in ms since the emulator's process was started."""

    listening_ms: float  # the emulator takes invocations
    answered_ms: float  # the answer is there, whole
    cpu_s: float  # of the function's process, all its threads
    memory_mb: float  # resident memory of the function's process, in units of 1024² bytes
    answer: Any


class LambdaRuntime:
    """A running function. `invoke` has Lambda's semantics: an unhandled error is an answer with `errorType`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, started_at: float) -> None:
        self.process, self.port, self.log, self.started_at = process, port, log, started_at

    def invoke(self, event: Mapping[str, Any], timeout_s: float = 30.0) -> Any:
        """The function's answer, parsed."""
        body = json.dumps(event).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{INVOCATIONS}", data=body)
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
            return json.loads(response.read())

    def logs(self) -> str:
        return self.log.read_text(errors="replace")

    def function_process(self) -> psutil.Process:
        """The process that holds the function's code. Raises RuntimeUnavailableError before the first invocation."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        if not children:
            raise RuntimeUnavailableError("the function's process is not running; invoke it first")
        return children[0]


def emulator_binary() -> Path:
    """Raises RuntimeUnavailableError."""
    machine = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    found = list(ROOT.glob(f".tools/sam/lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
    if not found:
        raise RuntimeUnavailableError("no SAM CLI in .tools/sam: run `make tools`")
    return found[0]


def require_runtime(artifact: Path) -> None:
    """Raises RuntimeUnavailableError when a function cannot be run here."""
    emulator_binary()
    if not LAMBDA_PYTHON.exists():
        raise RuntimeUnavailableError("no python3.12 with awslambdaric in .tools/lambda: run `make tools`")
    if not (artifact / "functions").is_dir():
        raise RuntimeUnavailableError(f"no artifact in {artifact}: run `make build`")


def free_ports(n_ports: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now."""
    sockets = [socket.socket() for _ in range(n_ports)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def function_env(
    artifact: Path, handler: str, env: Mapping[str, str], *, memory_mb: int, timeout_s: int
) -> dict[str, str]:
    """What Lambda sets, and nothing of this process but PATH and the language."""
    name = handler.split(".")[1]
    return {
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(artifact),
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
        "POWERTOOLS_SERVICE_NAME": "fusionrec",
        **env,
    }


@contextmanager
def running(
    artifact: Path,
    handler: str,
    env: Mapping[str, str],
    *,
    memory_mb: int = 1769,
    timeout_s: int = 15,
    python: Sequence[str] = (str(LAMBDA_PYTHON),),
) -> Iterator[LambdaRuntime]:
    """Start the runtime and take it down again, with all that it started.

    handler: as in template.yaml, `functions.recommend.app.handler`
    raises: RuntimeUnavailableError
    """
    require_runtime(artifact)
    port, api_port = free_ports(2)
    command = [
        *(str(emulator_binary()), "--log-level", "warn"),
        *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api_port}"),
        *(*python, "-m", "awslambdaric", handler),
    ]
    full_env = function_env(artifact, handler, env, memory_mb=memory_mb, timeout_s=timeout_s)
    with tempfile.TemporaryDirectory(prefix="rie-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            started_at = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=artifact, env=full_env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            _wait_until_listening(process, port, log)
            yield LambdaRuntime(process, port, log, started_at)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeUnavailableError(f"the runtime stopped at once: {log.read_text(errors='replace')[-2000:]}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.001)
    raise RuntimeUnavailableError(f"nothing listens on port {port} after {START_TIMEOUT_S:.0f} s")


def cold_start(artifact: Path, handler: str, env: Mapping[str, str], event: Mapping[str, Any]) -> ColdStart:
    """Start from nothing, ask once, stop."""
    with running(artifact, handler, env) as runtime:
        listening_ms = (time.perf_counter() - runtime.started_at) * 1000
        answer = runtime.invoke(event)
        answered_ms = (time.perf_counter() - runtime.started_at) * 1000
        function = runtime.function_process()
        cpu, memory = function.cpu_times(), function.memory_info()
        return ColdStart(listening_ms, answered_ms, cpu.user + cpu.system, memory.rss / 1024**2, answer)


def import_times(artifact: Path, handler: str, env: Mapping[str, str], event: Mapping[str, Any]) -> dict[str, float]:
    """Where a cold start's imports go: top-level package → ms of its own modules, greatest first.

    Measured by Python itself (`-X importtime`), which slows the start; use the shares.
    """
    with running(artifact, handler, env, python=(str(LAMBDA_PYTHON), "-X", "importtime")) as runtime:
        runtime.invoke(event)
        times: dict[str, float] = {}
        for match in re.finditer(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", runtime.logs()):
            package = match[2].split(".")[0]
            times[package] = times.get(package, 0.0) + int(match[1]) / 1000
    return dict(sorted(times.items(), key=lambda pair: -pair[1]))
