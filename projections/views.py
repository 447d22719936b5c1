"""The views, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.errors import NotFound
from projections import history, lots, members
from projections.view import View

VIEWS: Final[Mapping[str, View]] = {
    view.name: view for view in (history.VIEW, members.VIEW, lots.VIEW)
}


def view_named(name: str) -> View:
    """The view of that name. Raises `NotFound`, which names those there are."""
    if name not in VIEWS:
        raise NotFound(f"view (there are {', '.join(VIEWS)}) named", name)
    return VIEWS[name]
