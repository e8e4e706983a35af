"""A real shopper's slate from the real handlers, and how one event changes the next. `fusionrec demo` runs it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from functions.local_gateway import Gateway
from functions.local_setup import configure
from fusionrec.errors import FusionrecError

N_RESULTS: Final = 8
HEADERS: Final = {"content-type": "application/json"}


class Shop:
    """Asks the handlers as API Gateway would."""

    def __init__(self) -> None:
        self._gateway = Gateway(open_access=True)
        self.server_timing = ""

    def ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises FusionrecError with the problem's detail."""
        text = json.dumps(body).encode() if body else b""
        answer = self._gateway.call(method, target, HEADERS, text)
        content: dict[str, Any] = json.loads(answer["body"])
        if answer["statusCode"] >= 400:
            raise FusionrecError(f"{method} {target}: {answer['statusCode']} {content['detail']}")
        self.server_timing = ", ".join(answer["multiValueHeaders"].get("Server-Timing", []))
        return content


def show_shopper(console: Console, profile: dict[str, Any]) -> None:
    activity = profile["activity"]
    interests = ", ".join(f"{row['category']} {row['weight']:.0%}" for row in profile["interests"][:4])
    last = activity["lastEventAt"][:10]
    counts = f"{activity['nEvents']} interactions in {activity['nSessions']} sessions, the last on {last}"
    console.print(f"[bold]Shopper {profile['userId']}[/bold]: {counts}; likes {interests}")


def show_slate(console: Console, title: str, slate: dict[str, Any], earlier: list[str] | None = None) -> None:
    """A table of a slate, each item with its reasons and what each part adds; with an earlier slate, what moved."""
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("item, why, and what each part adds to its score", ratio=1)
    table.add_column("price", justify="right")
    for place, item in enumerate(slate["itemList"], start=1):
        metadata = item["metadata"]
        price = metadata["priceCents"]
        added = " ".join(f"{value:+.2f} {part}" for part, value in item["contributions"].items() if part != "base")
        lines = [
            f"[bold]{escape(metadata['name'] or item['itemId'])}[/bold]",
            *(escape(reason) for reason in item["reasons"]),
            f"[dim]{item['score']:.2f} = {item['contributions']['base']:.2f} base {added}[/dim]",
        ]
        moved = _moved(item["itemId"], place, earlier)
        table.add_row(f"{place}{moved}", "\n".join(lines), f"{price / 100:.2f}" if price else "-")
    console.print(table)


def _moved(item_id: str, place: int, earlier: list[str] | None) -> str:
    if earlier is None:
        return ""
    if item_id not in earlier:
        return " new"
    by = earlier.index(item_id) + 1 - place
    return f" {'↑' if by > 0 else '↓'}{abs(by)}" if by else ""


def show_stages(console: Console, server_timing: str) -> None:
    stages = [part.split(";dur=") for part in server_timing.split(", ")]
    console.print("ms per stage: " + " · ".join(f"{name} {ms}" for name, ms in stages))


def run(console: Console, shop: Shop, user_id: str) -> None:
    from functions import wiring

    request = {"userId": user_id, "numResults": N_RESULTS, "explain": True}
    show_shopper(console, shop.ask("GET", f"/v1/users/{user_id}/profile"))
    shop.ask("POST", "/v1/recommendations", request)  # the first one loads the model
    slate = shop.ask("POST", "/v1/recommendations", request)
    show_slate(console, f"Recommended now, by model {slate['modelVersion']}", slate)
    show_stages(console, shop.server_timing)
    if slate["degraded"]:
        console.print(f"degraded: {', '.join(slate['degraded'])}")
    bought = slate["itemList"][2]
    now = wiring.clock().now()
    event = {
        "eventId": f"demo-{now.timestamp():.6f}",
        "eventType": "purchase",
        "itemId": bought["itemId"],
        "sentAt": now.isoformat(),
        "recommendationId": slate["recommendationId"],
    }
    body = {"userId": user_id, "sessionId": "demo", "eventList": [event]}
    accepted = shop.ask("POST", "/v1/events", body)["accepted"]
    console.print(f"\nThe shopper buys no. 3, {bought['metadata']['name']}: {accepted} event accepted.")
    earlier = [item["itemId"] for item in slate["itemList"]]
    show_slate(console, "Recommended next", shop.ask("POST", "/v1/recommendations", request), earlier)
    show_stages(console, shop.server_timing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--user", required=True)
    given = parser.parse_args()
    try:
        configure()
        run(Console(), Shop(), given.user)
    except FusionrecError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
