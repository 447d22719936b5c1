"""What the views work with, made once by `create_app` and kept on the app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from flask import current_app

from api.keys import KeyRing
from ledger.committer import Committer
from ledger.ledger import Ledger

RunJob = Callable[[str, datetime], dict[str, Any]]

_EXTENSION: Final = "jifen"


@dataclass(frozen=True)
class Service:
    """The ledger, the committer that gathers this process's lone requests, and the rest.

    `run_job` runs a job by name as of a moment; `jobs` says of each name what it does.
    """

    ledger: Ledger
    committer: Committer
    keys: KeyRing
    jobs: Mapping[str, str]
    run_job: RunJob | None = None


def service() -> Service:
    """The service of the app that handles the current request."""
    return cast(Service, current_app.extensions[_EXTENSION])
