"""The guide's requests work as they stand, one after the other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from calling import Api

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "till.md").read_text(encoding="utf-8")
REQUESTS = re.findall(r"```http\n(.+?)\n\n→ (\d+) (\{.+?\})\n```", GUIDE, re.DOTALL)


def test_the_requests_of_the_guide_answer_as_it_says(api: Api) -> None:
    assert len(REQUESTS) == GUIDE.count("```http") == 10
    for request, status, expected in REQUESTS:
        head, _, body = request.partition("\n\n")
        first, *headers = head.split("\n")
        method, path = first.split(" ")
        answer = api.call(
            method,
            path,
            role="pos",
            headers=dict(header.split(": ") for header in headers),
            **({"json": json.loads(body)} if body else {}),
        )
        assert answer.status_code == int(status), f"{first}: {answer.text}"
        assert_holds(answer.json, json.loads(expected))


def assert_holds(received: Any, expected: dict[str, Any]) -> None:
    """What the guide shows is there; there may be more."""
    assert {name: received.get(name) for name in expected} == expected
