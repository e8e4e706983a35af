"""An AWS emulator without Docker, on free ports, for a real `sam deploy`; and what a test needs of the deployed stack.

Only the endpoint differs from AWS: the same functions work against LocalStack or an account.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from infra.rie import ROOT, RuntimeUnavailableError, free_ports

EMULATOR_PYTHON: Final = ROOT / ".tools" / "emulator" / "bin" / "python"
START_TIMEOUT_S: Final = 60.0


def aws_env(endpoint: str) -> dict[str, str]:
    """The environment of an AWS client or the SAM CLI that is to talk to `endpoint`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def running() -> Iterator[str]:
    """Start an empty emulator, give its endpoint, and take it down with all that it started.

    raises: RuntimeUnavailableError
    """
    if not EMULATOR_PYTHON.exists():
        raise RuntimeUnavailableError("no emulator in .tools/emulator (it needs python3.12): run `make tools`")
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="emulator-") as folder:
        log = Path(folder) / "log"
        process = _start(endpoint, port, folder, log)
        try:
            _wait_until_healthy(process, endpoint, log)
            yield endpoint
        finally:
            _stop(process)


def _start(endpoint: str, port: int, folder: str, log: Path) -> subprocess.Popen[bytes]:
    """In a process group of its own, which the functions that it runs belong to as well."""
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        **aws_env(endpoint),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "WARNING",
        "TMPDIR": folder,
        "S3_DATA_DIR": f"{folder}/s3",
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            [EMULATOR_PYTHON, "-m", "ministack"],
            cwd=folder,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeUnavailableError(f"the emulator stopped at once: {log.read_text(errors='replace')[-2000:]}")
        with suppress(OSError), urllib.request.urlopen(f"{endpoint}/_localstack/health", timeout=2):  # noqa: S310
            return
        time.sleep(0.05)
    raise RuntimeUnavailableError(f"the emulator is not ready after {START_TIMEOUT_S:.0f} s")


def deploy(endpoint: str, stack_name: str, template: Path, parameters: Mapping[str, str]) -> None:
    """A real `sam deploy` of a built template. Raises RuntimeError with the end of its output."""
    command: list[str | Path] = [ROOT / "infra" / "sam", "deploy", "--template-file", template]
    command += ["--stack-name", stack_name, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"]
    command += ["--no-confirm-changeset", "--no-progressbar"]
    if parameters:
        command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **aws_env(endpoint)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"sam deploy failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def docker_runs() -> bool:
    """Whether there is a Docker daemon to talk to."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0
