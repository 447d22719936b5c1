"""Each command: whose it is, what it does to the member, what it answers (API.md).

members.py       enrol, freeze, unfreeze, close
orders.py        accrue, activity, refund;  quotes.py: what an order would bring
referrals.py     what becomes of a referral code
redemptions.py   redeem, capture, release
adjustments.py   adjust, approve, reject
benefits.py      what tier and level entitle to, and its use
due.py           what the jobs send
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger import requests as r
from ledger.case import Case, Decided
from ledger.commands import adjustments, benefits, due, members, orders, redemptions
from ledger.commands.quotes import quote

__all__ = ["COMMANDS", "quote"]

# Any: each command takes its own request, which the key beside it says.
COMMANDS: Final[dict[type[r.Command], Callable[[Case, Any], Decided]]] = {
    r.Enrol: members.enrol,
    r.Accrue: orders.accrue,
    r.Activity: orders.do_activity,
    r.Redeem: redemptions.redeem,
    r.Capture: redemptions.capture,
    r.Release: redemptions.release,
    r.Refund: orders.refund,
    r.Adjust: adjustments.adjust,
    r.ApproveAdjustment: adjustments.approve,
    r.RejectAdjustment: adjustments.reject,
    r.UseBenefit: benefits.use_benefit,
    r.Freeze: members.freeze,
    r.Unfreeze: members.unfreeze,
    r.Close: members.close,
    r.ExpirePoints: due.expire,
    r.LapseReservations: due.lapse,
    r.ReleasePending: due.release_pending,
    r.ReviewTiers: due.review_tiers,
    r.ReviewLevels: due.review_levels,
}
