"""What `jifen serve` prints once the service is ready: address, keys, and a first request."""

import json
import shlex
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from jifen.first_keys import FILE_NAME
from ledger.settings import Settings

# Always the same content: sent again, on a second start too, they answer as the first time.
FIRST_MEMBER = {"member_id": "first-member", "name": "李雷"}
FIRST_ORDER = {"member_id": "first-member", "order_id": "first-order", "amount": "148.60"}

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def address(settings: Settings) -> str:
    """The URL at which this machine reaches the API."""
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def readiness(settings: Settings) -> str:
    """Ask /readyz: "" when the service is ready, else what it answers, for people."""
    # No proxy stands between this machine and itself.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{address(settings)}/readyz", timeout=5):
            return ""
    except urllib.error.HTTPError as refusal:
        with refusal:
            return f"answers {refusal.code}: {refusal.read(2000).decode(errors='replace')}"
    except OSError as problem:
        return f"does not answer ({problem})"


def welcome(settings: Settings, keys: Mapping[str, str | None], logs: Path | None) -> str:
    """The text for the terminal. A key that is None can't be shown any more."""
    at = address(settings)
    lines = [
        "",
        f"Jifen is ready at {at}    (reference of the API: {at}/docs)",
        "",
        "API keys by role:",
        *(f"  {role:8} {secret or '(not shown)'}" for role, secret in keys.items()),
        *_about_keys(settings, keys),
        "",
        "A first member, and the points of a first order:",
        *_requests(at, keys),
        "",
        f"Ctrl-C stops everything.{f' Logs: {logs}' if logs else ''}",
        "",
    ]
    return "\n".join(lines)


def _about_keys(settings: Settings, keys: Mapping[str, str | None]) -> list[str]:
    lines = []
    if any(keys.values()):
        lines.append(f"  They stand in {settings.data_dir / FILE_NAME} too, for your eyes only.")
    if not all(keys.values()):
        lines.append("  What is not shown was made before, or revoked: `jifen keys create` makes")
        lines.append("  another, `jifen keys list` tells what there is.")
    return lines


def _requests(at: str, keys: Mapping[str, str | None]) -> list[str]:
    secret = keys.get("pos") or keys.get("admin") or "YOUR_KEY"
    lines = []
    for path, body in (("/v1/members", FIRST_MEMBER), ("/v1/accruals", FIRST_ORDER)):
        lines += [
            "",
            f"  curl -sw '\\n' {at}{path} \\",
            f"    -H {shlex.quote(f'Authorization: Bearer {secret}')} \\",
            "    -H 'Content-Type: application/json' \\",
            f"    -d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        ]
    return lines
