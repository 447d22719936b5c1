"""Coupons that rules give: recorded as issued (PROGRAMME 2.4 to 2.7, 8)."""

from __future__ import annotations

from datetime import timedelta

from ledger import events as e
from ledger.codes import new_coupon_code
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances


def issue(
    member: Member,
    template: str | None,
    source: e.CouponSource,
    at: Circumstances,
    order_id: str | None = None,
) -> None:
    """Give the member a coupon of the template, if a rule names one (None: it does not).

    A coupon of n days that is issued on D is good through D + n (8.3).
    """
    coupon = at.programme.coupon(template) if template is not None else None
    if coupon is None:
        return
    name = coupon.name
    member.trigger(
        e.CouponIssued(
            occurred_at=at.occurred_at,
            meta=at.meta,
            code=new_coupon_code(),
            template=coupon.code,
            kind=coupon.kind,
            source=source,
            valid_from=coupon.valid_from or at.day,
            valid_until=coupon.valid_until or at.day + timedelta(days=coupon.valid_days),
            programme_version=at.version.number,
            value=coupon.value,
            threshold=coupon.threshold,
            name_en=name.in_language("en") if name else None,
            name_zh=name.in_language("zh") if name else None,
            order_id=order_id,
        )
    )
