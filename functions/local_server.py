"""The real handlers on one local port: `python -m functions.local_server --open`. It stands in for API Gateway.

Identity is the gateway's business: here there is none, so every /v1 call gets 401 unless `--open` was asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from functions.local_gateway import Event, Gateway, refusal
from functions.local_setup import configure
from fusionrec.adapters.writers import writing
from fusionrec.errors import BadInputError, BundleError, BundleMissingError, FusionrecError

MAX_BODY_BYTES: Final = 10_000_000  # API Gateway's limit


class RequestHandler(BaseHTTPRequestHandler):
    """Bytes in, bytes out."""

    protocol_version = "HTTP/1.1"
    server_version = "fusionrec"
    sys_version = ""
    timeout = 30  # seconds a client may keep a connection without a word
    gateway: Gateway  # set by `serve`

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        path = urlsplit(self.path).path
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._send(refusal(411, "length-required", "send the body with its Content-Length", path, ""))
            return
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True  # the body stays unread
            detail = f"the body has {length} bytes, at most {MAX_BODY_BYTES} are taken; send fewer events a call"
            self._send(refusal(413, "too-large", detail, path, ""))
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.gateway.call(self.command, self.path, headers, body))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _answer  # noqa: N815 - names of the standard library

    def _send(self, answer: Event) -> None:
        body = str(answer["body"] or "").encode()
        self.send_response(answer["statusCode"])
        for name, values in answer["multiValueHeaders"].items():
            for value in values:
                self.send_header(name, value)
        if self.command != "HEAD":  # whose length would be that of an answer that was not written
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """One thread a connection."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up before its answer is no error of this side; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(port: int, *, open_access: bool) -> Server:
    """A server that is bound but not yet running; port 0 picks a free one. Only this machine can reach it."""
    gateway = Gateway(open_access=open_access)
    handler = type("BoundRequestHandler", (RequestHandler,), {"gateway": gateway})
    return Server(("127.0.0.1", port), handler)


def warm_up() -> None:
    """Open the store before the first request: importing the SDK would use that one's time up."""
    from functions import wiring

    state = wiring.profiles().users.read("warm-up", wiring.clock().deadline(60_000))
    if state.missing:
        print(
            f"warning: {' and '.join(state.missing)} cannot be read, slates go without them; "
            f"`fusionrec features sync --data {wiring.settings().dataset}` fills them, in a folder that can be written",
            file=sys.stderr,
        )


def check_model() -> None:
    """Load the model, so that a damaged one is told now. Raises BundleError; none promoted yet is no error."""
    from functions import wiring

    settings = wiring.settings()
    pointer = Path(settings.bundle_uri or settings.dataset_dir / "bundles") / "current"
    try:
        wiring.models().current()
    except BundleMissingError:
        if pointer.exists():  # it names what is not there
            raise


def examples(port: int, user_id: str) -> str:
    """curl lines that work against this server."""
    from functions import wiring

    base, now = f"http://127.0.0.1:{port}", wiring.clock().now().strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        catalogue = wiring.models().current().bundle.catalogue
        item_id = catalogue.item_id(1)
    except BundleError as error:
        return f"no model yet, recommendations get 503: {error}"
    slate = json.dumps({"userId": user_id, "numResults": 5, "explain": True})
    event = {"eventId": "example-1", "eventType": "purchase", "itemId": item_id, "sentAt": now}
    item = json.dumps({"name": f"New: {catalogue.text('name', 1)}", "category": catalogue.text("category", 1)})
    events = json.dumps({"userId": user_id, "sessionId": "example", "eventList": [event]})
    send = "curl -s -H 'content-type: application/json'"
    return "\n".join(
        [
            f"{send} {base}/v1/recommendations -d '{slate}'",
            f"{send} {base}/v1/events -d '{events}'",
            f"curl -s '{base}/v1/items/{quote(item_id)}/similar?kind=complement&numResults=5'",
            f"{send} -X PUT {base}/v1/items/new-1 -d '{item}'",
            f"curl -s {base}/v1/users/{quote(user_id)}/profile",
            f"curl -s {base}/openapi.json",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The fusionrec API on a local port.")
    parser.add_argument("--port", type=int, default=8000, help="0 picks a free one")
    parser.add_argument("--open", action="store_true", help="development: answer requests that carry no identity")
    parser.add_argument("--user", default="visitor-1", help="user id in the example requests")
    given = parser.parse_args()
    with ExitStack() as held, _leaving_at_ctrl_c():
        try:
            server = begun(given.port, held, open_access=given.open)
        except FusionrecError as error:
            sys.exit(f"error: {error}")
        answer(server, given)


@contextmanager
def _leaving_at_ctrl_c() -> Iterator[None]:
    """While the server starts, too, whose imports would answer with a stack trace."""
    before = signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def begun(port: int, held: ExitStack, *, open_access: bool) -> Server:
    """A server with model and store open. held: closes what has to be, at the end. Raises FusionrecError."""
    configure()
    try:
        server = serve(port, open_access=open_access)
    except OSError as error:
        raise BadInputError(f"port {port} cannot be used ({error.strerror}); choose another with --port") from None
    check_model()
    from functions import wiring

    held.enter_context(writing(wiring.settings().dataset_dir))
    warm_up()
    return server


def answer(server: Server, given: argparse.Namespace) -> None:
    """Until Ctrl-C."""
    port = server.server_address[1]
    if given.open:
        print("OPEN DEVELOPMENT MODE: anyone on this machine can read and write every user. Never use it for a shop.")
    else:
        print("requests to /v1 get 401: there is no identity provider here; --open serves without one, for development")
    if starts := os.environ.get("FUSIONREC_CLOCK_STARTS_AT"):
        print(f"the clock started at {starts}: an event of today may lie in its future, and is refused then")
    print(f"{examples(port, given.user)}\nlistening on http://127.0.0.1:{port}", flush=True)
    with server:
        try:
            server.serve_forever()
        except (KeyboardInterrupt, SystemExit):
            print("stopped")


if __name__ == "__main__":
    main()
