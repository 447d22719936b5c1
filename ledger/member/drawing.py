"""Which lots points are taken from, and the expiries that late data takes back (3.2, 3.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger import events as e
from ledger.debts import pay_debts
from ledger.errors import Refusal
from ledger.lots import Draw, Lot, plan_draw
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances


def plan_redemption(member: Member, points: int, at: Circumstances) -> list[Draw]:
    draws, missing = plan_draw(drawable(member, at), points, debt=member.state.balance.debt)
    if missing:
        raise Refusal(
            "insufficient_points",
            f"{points} points are asked for, {points - missing} are available.",
        )
    return draws


def drawable(member: Member, at: Circumstances) -> Iterable[Lot]:
    """Lots that may be drawn at `occurred_at`, in drawing order (3.2, 3.6)."""
    last_expired = member.state.last_expired_on
    return member.lots.drawable(
        at.occurred_at,
        at.day,
        expired_too=last_expired is not None and last_expired >= at.day,
    )


def correct_expiries(member: Member, draws: Sequence[Draw], at: Circumstances) -> None:
    """Take back the expiry of points that late data uses (3.6)."""
    for draw in draws:
        points = draw.corrected
        lot = member.lots.find(draw.lot_id)
        while points and lot is not None:
            version, expired, occurred_at = lot.expiries[-1]
            part = min(points, expired)
            paid, _ = pay_debts(member.state.debts, [e.LotPoints(lot.lot_id, part)])
            member.trigger(
                e.PointsExpiryCorrected(
                    occurred_at=occurred_at,
                    meta=at.meta,
                    lot_id=lot.lot_id,
                    points=part,
                    corrects=version,
                    debt_paid=paid,
                )
            )
            points -= part
