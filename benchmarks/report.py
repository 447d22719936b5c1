"""What was measured, as a table for people and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured number. `target`, where there is one, is the most or the least it may be."""

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["lower", "higher"] = "lower"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        if self.better == "lower":
            return self.value <= self.target
        return self.value >= self.target

    @property
    def ratio(self) -> float | None:
        """Value over target."""
        return self.value / self.target if self.target else None


def show(figures: list[Figure], machine: Mapping[str, Any], console: Console) -> None:
    """Print the machine and the figures."""
    console.print(" · ".join(f"{name} {value}" for name, value in machine.items()))
    table = Table("measured", "value", "unit", "target", "ratio", "", "note")
    for column in (1, 3, 4):
        table.columns[column].justify = "right"
    for figure in figures:
        table.add_row(
            figure.name,
            _number(figure.value),
            figure.unit,
            _target(figure),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            {None: "", True: "reached", False: "NOT REACHED"}[figure.reached],
            figure.note,
        )
    console.print(table)


def write(figures: list[Figure], machine: Mapping[str, Any], details: Any, path: Path) -> None:
    """Write figures, machine and details as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    content = {"machine": dict(machine), "figures": rows, "details": details}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return ("≤ " if figure.better == "lower" else "≥ ") + f"{figure.target:,g}"
