"""What `jifen serve` prints once the service is ready: address, keys, and a first request."""

import json
import shlex
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from jifen.first_keys import FILE_NAME, FirstKeys
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


def welcome(settings: Settings, keys: FirstKeys, logs: Path | None, *, secrets: bool) -> str:
    """The text that says that the service is ready. A key that is None can't be shown any more.

    Without `secrets` a key is shown only by the start that has made it: what is printed goes to a
    log that others read. The requests then take it from its file.
    """
    at = address(settings)
    shown = {
        role: secret if secrets or role in keys.new else None
        for role, secret in keys.by_role.items()
    }
    lines = [
        "",
        f"Jifen is ready at {at}    (reference of the API: {at}/docs)",
        "",
        "API keys by role:",
        *(f"  {role:8} {secret or '(not shown)'}" for role, secret in shown.items()),
        *_about_keys(settings, keys),
        "",
        "A first member, and the points of a first order:",
        *_requests(at, _authorization(settings, keys, shown)),
        "",
        f"Ctrl-C stops everything.{f' Logs: {logs}' if logs else ''}",
        "",
    ]
    return "\n".join(lines)


def _about_keys(settings: Settings, keys: FirstKeys) -> list[str]:
    lines = []
    if any(keys.by_role.values()):
        lines.append(f"  They stand in {_key_file(settings)}, for your eyes only.")
    if not all(keys.by_role.values()):
        lines.append("  What stands there no more was made before, or revoked: `jifen keys create`")
        lines.append("  makes another, `jifen keys list` tells what there is.")
    return lines


def _key_file(settings: Settings) -> Path:
    return settings.data_dir.absolute() / FILE_NAME


def _authorization(settings: Settings, keys: FirstKeys, shown: Mapping[str, str | None]) -> str:
    """The header of the first requests as a word for the shell, the key in it or read there."""
    for role in ("pos", "admin"):
        if secret := shown.get(role):
            return shlex.quote(f"Authorization: Bearer {secret}")
        if keys.by_role.get(role):
            # sed is everywhere; the file has one key a line.
            program = f's/^ *"{role}": "\\(.*\\)",*$/\\1/p'
            read = f"sed -n {shlex.quote(program)} {shlex.quote(str(_key_file(settings)))}"
            return f'"Authorization: Bearer $({read})"'
    return "'Authorization: Bearer YOUR_KEY'"


def _requests(at: str, authorization: str) -> list[str]:
    lines = []
    for path, body in (("/v1/members", FIRST_MEMBER), ("/v1/accruals", FIRST_ORDER)):
        lines += [
            "",
            f"  curl -sw '\\n' {at}{path} \\",
            f"    -H {authorization} \\",
            "    -H 'Content-Type: application/json' \\",
            f"    -d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        ]
    return lines
