"""Which lots points are taken from, and the expiries that late data takes back (3.2, 3.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ledger import events as e
from ledger.debts import pay_debts
from ledger.errors import Refusal
from ledger.lots import Draw, Lot, plan_draw
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances


def plan_redemption(member: Member, points: int, at: Circumstances) -> list[Draw]:
    """Take points in drawing order; refused where too few are available (4.4)."""
    draws, missing = plan_draw(drawable(member, at), points, debt=member.state.balance.debt)
    if missing:
        raise Refusal(
            "insufficient_points",
            f"{points} points are asked for, {points - missing} are available.",
        )
    return draws


def drawable(member: Member, at: Circumstances, *, pending: bool = False) -> Iterable[Lot]:
    """Lots that may be drawn at `occurred_at`, in drawing order (3.2, 3.6).

    `pending`: those, and no other, whose points were not active yet (2.9).
    """
    last_expired = member.state.last_expired_on
    lots = member.lots.drawable(
        at.occurred_at,
        at.day,
        expired_too=last_expired is not None and last_expired >= at.day,
    )
    return (lot for lot in lots if lot.pending_on(at.day) == pending)


def plan_clawback(
    member: Member, own_lot_id: str | None, points: int, at: Circumstances
) -> list[Draw]:
    """Take points from the grant's own lots, then from others, from pending ones last (5.2, 2.9).

    What is missing is the difference to `points`.
    """
    own = own_lots(member, own_lot_id)
    own_ids = {lot.lot_id for lot in own}
    own_good = sorted(
        (lot for lot in own if lot.good_on(at.day) and lot.earned_at <= at.occurred_at),
        key=lambda lot: lot.drawing_key,
    )
    debt = member.state.balance.debt
    draws: list[Draw] = []
    for lots in (own_good, drawable(member, at), drawable(member, at, pending=True)):
        others = lots if lots is own_good else (lot for lot in lots if lot.lot_id not in own_ids)
        missing = points - sum(draw.points for draw in draws)
        if missing == 0:
            break
        more, _ = plan_draw(others, missing, debt=debt)
        debt -= sum(draw.pays_debt for draw in more)
        draws += more
    return draws


def own_lots(member: Member, lot_id: str | None) -> list[Lot]:
    """The lot of a grant, and those that restorations formed from it (5.3)."""
    found: list[Lot] = []
    ids = [lot_id] if lot_id else []
    while ids:
        lot = member.lots.find(ids.pop())
        if lot is not None:
            found.append(lot)
            ids.extend(lot.derived)
    return found


class Clawback(msgspec.Struct, frozen=True):
    """Points taken back: from these lots (`pending` of them not active yet), the rest owed or
    waived (PROGRAMME 5.2)."""

    points: int
    lots_drawn: list[e.LotPoints]
    pending: int
    debt: int
    waived: int


def take_back(member: Member, own_lot_id: str | None, points: int, at: Circumstances) -> Clawback:
    """Plan a clawback, and take back the expiries that it needs."""
    draws = plan_clawback(member, own_lot_id, points, at)
    correct_expiries(member, draws, at)
    missing = points - sum(draw.points for draw in draws)
    waive = at.programme.points.debt == "waive"
    return Clawback(
        points=points,
        lots_drawn=drawn_from(draws),
        pending=sum(draw.points for draw in draws if draw.lot_id in member.state.pending),
        debt=0 if waive else missing,
        waived=missing if waive else 0,
    )


def drawn_from(draws: Iterable[Draw]) -> list[e.LotPoints]:
    """What was taken from which lot."""
    return [e.LotPoints(draw.lot_id, draw.points) for draw in draws if draw.points]


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
