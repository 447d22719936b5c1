"""What must hold within a section of a programme beyond the single keys.

`check` looks at one section once its own keys are sound; `check_list` at the sound elements of a
list; `check_whole` at what concerns several sections. Each says what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from itertools import pairwise
from typing import Any

from ledger.programme.model import LIFECYCLE_STAGES
from ledger.programme.report import Here, shown, suggestion
from ledger.programme.sections import (
    Band,
    Benefit,
    Campaign,
    CouponTemplate,
    LadderStep,
    LevelRules,
    LifecycleRules,
    MessageRules,
    NewcomerPack,
    ReferralRules,
    Reward,
    Section,
    SegmentRules,
    Texts,
    Tier,
    Validity,
)
from ledger.programme.setting import settings_of

KnownCodes = Mapping[str, frozenset[str] | None]
"""The codes a programme defines, by what they are codes of; None where that section is off."""

KEYS_BY_COUPON_KIND = {
    "amount_off": frozenset({"value"}),
    "percent_off": frozenset({"value", "cap"}),
    "ladder": frozenset({"steps"}),
    "gift": frozenset({"gift"}),
    "service": frozenset({"service"}),
}
KEYS_BY_REWARD_KIND = {
    "coupon": frozenset({"coupon"}),
    "tier_upgrade": frozenset({"months", "up_to"}),
}


@singledispatch
def check(section: Section, here: Here, codes: KnownCodes) -> None:
    """Note what is wrong within a section whose single keys are sound."""


@check.register
def _(texts: Texts, here: Here, codes: KnownCodes) -> None:
    if not (texts.zh or texts.en):
        here.error("", f"the text is missing: {here.write('zh', '金卡会员')} and the like")


@check.register
def _(validity: Validity, here: Here, codes: KnownCodes) -> None:
    if validity.in_months == 0:
        here.error(
            "",
            "points would be good for no time at all: write "
            f'{here.report.written({"years": 1})}, {here.report.written({"months": 18})} or "none"',
        )


@check.register
def _(newcomer: NewcomerPack, here: Here, codes: KnownCodes) -> None:
    if not newcomer.points and not newcomer.coupon:
        here.error("", "the newcomer pack is empty: give points or a coupon, or leave it out")


@check.register
def _(referral: ReferralRules, here: Here, codes: KnownCodes) -> None:
    if not (referral.referrer_points or referral.referrer_coupon or referral.referee_coupon):
        here.error("", "the referral rewards nobody: give points or a coupon, or leave it out")


@check.register
def _(tier: Tier, here: Here, codes: KnownCodes) -> None:
    if tier.spend == 0 and tier.repurchases == 0:
        for key, what in (("keep", "keep figures"), ("extension", "an extension")):
            if getattr(tier, key) is not None:
                here.error(
                    key,
                    f'tier "{tier.code}" has {what} but no figures that reach it: '
                    f"add spend or repurchases to the tier, or remove {key}",
                )
    if tier.extension and tier.extension.months > tier.months:
        here.error(
            "extension.months",
            f"the extension of {tier.extension.months} months is longer than the tier's validity "
            f"of {tier.months}: write at most {here.write('months', tier.months)}",
        )


@check.register
def _(benefit: Benefit, here: Here, codes: KnownCodes) -> None:
    if not (benefit.tiers or benefit.levels or benefit.segments):
        here.error(
            "",
            f'nobody has benefit "{benefit.code}": name tiers, levels or segments, as '
            f"{here.write('tiers', ['gold'])}",
        )


@check.register
def _(levels: LevelRules, here: Here, codes: KnownCodes) -> None:
    together = levels.spend_weight + levels.activity_weight
    if together != 1:
        here.error(
            "activity_weight" if here.wrote("activity_weight") else "spend_weight",
            f"spend_weight {levels.spend_weight} and activity_weight {levels.activity_weight} "
            f"add up to {together}, not 1: with this spend_weight write "
            f"{here.write('activity_weight', 1 - levels.spend_weight)}",
        )
    if not levels.bands:
        bands = [{"code": "ordinary", "from": 0}, {"code": "active", "from": 51}]
        here.error(
            "bands",
            f"there is no level: write {here.write('bands', bands)}",
        )


@check.register
def _(segments: SegmentRules, here: Here, codes: KnownCodes) -> None:
    if getattr(segments, segments.otherwise, None) is not None:
        here.error(
            "otherwise",
            f'"{segments.otherwise}" has figures of its own: '
            f"write another name, as {here.write('otherwise', 'basic')}",
        )


@check.register
def _(lifecycle: LifecycleRules, here: Here, codes: KnownCodes) -> None:
    if lifecycle.lapsing_months > lifecycle.dormant_months:
        here.error(
            "lapsing_months",
            f"a member would be dormant after {lifecycle.dormant_months} months, before lapsing "
            f"after {lifecycle.lapsing_months}: write at most "
            f"{here.write('lapsing_months', lifecycle.dormant_months)}",
        )


@check.register
def _(coupon: CouponTemplate, here: Here, codes: KnownCodes) -> None:
    _keys_of_other_kinds(coupon, coupon.kind, KEYS_BY_COUPON_KIND, here)
    _coupon_value(coupon, here)
    _coupon_dates(coupon, here)
    if coupon.standing is not None:
        _standing(coupon.standing, here, codes)
    if coupon.standing != "birthday" and "days_before" in _keys_not_default(coupon):
        here.error(
            "days_before",
            f"it is for birthday coupons only: add {here.write('standing', 'birthday')}, "
            "or remove it",
        )


def _coupon_value(coupon: CouponTemplate, here: Here) -> None:
    if coupon.kind == "ladder" and not coupon.steps and not here.wrote("steps"):
        steps = [{"threshold": "1000.00", "value": "100.00"}]
        here.error("", f"a ladder needs its steps: write {here.write('steps', steps)}")
    if coupon.kind not in ("amount_off", "percent_off"):
        return
    if coupon.value <= 0:
        example = "20.00" if coupon.kind == "amount_off" else "10"
        here.error(
            "value",
            f"a coupon of kind {coupon.kind} needs to take something off: "
            f"write {here.write('value', example)}",
        )
    if coupon.kind == "percent_off" and coupon.value > 100:
        here.error(
            "value",
            f"{coupon.value} percent is more than the whole: write at most "
            f"{here.write('value', '100')} ({here.write('value', '10')} is 10 % off, 9折)",
        )


def _coupon_dates(coupon: CouponTemplate, here: Here) -> None:
    if coupon.valid_until is None:
        if coupon.valid_from is not None:
            here.error("valid_from", "valid_until is missing: fixed dates are given by both")
        return
    if "valid_days" in _keys_not_default(coupon):
        here.error("valid_days", "valid_days and valid_until exclude each other: remove one")
    if coupon.valid_from and coupon.valid_until < coupon.valid_from:
        here.error(
            "valid_until",
            f"it ends on {coupon.valid_until}, before it starts on {coupon.valid_from}: "
            "write a later valid_until or an earlier valid_from",
        )


def _standing(standing: str, here: Here, codes: KnownCodes) -> None:
    plain = ("birthday", *LIFECYCLE_STAGES)
    prefix, colon, code = standing.partition(":")
    if not colon:
        if standing not in plain:
            known = [*plain, "segment:…", "level:…", "tier:…"]
            here.error("standing", f"{shown(standing)} is no occasion{suggestion(standing, known)}")
    elif prefix not in ("segment", "level", "tier"):
        here.error(
            "standing",
            f"{shown(standing)} is no occasion: write segment:, level: or tier: and a code",
        )
    else:
        known_codes = codes[prefix]
        if known_codes is not None and code not in known_codes:
            here.error("standing", f"{unknown(prefix, code, known_codes)}")


@check.register
def _(reward: Reward, here: Here, codes: KnownCodes) -> None:
    _keys_of_other_kinds(reward, reward.kind, KEYS_BY_REWARD_KIND, here)
    if reward.kind == "coupon" and reward.coupon is None:
        known = sorted(codes["coupon"] or ())
        example = known[0] if known else "voucher_50"
        here.error(
            "",
            f'reward "{reward.reward_id}" of kind coupon does not say which: '
            f"add {here.write('coupon', example)}",
        )
    if reward.from_ and reward.until:
        _ends_after_start(reward.from_, reward.until, here)


@check.register
def _(campaign: Campaign, here: Here, codes: KnownCodes) -> None:
    _ends_after_start(campaign.from_, campaign.until, here)
    if campaign.multiplier == 1 and campaign.bonus == 0:
        here.error(
            "",
            f'campaign "{campaign.code}" changes nothing: add '
            f"{here.write('multiplier', '2')} or {here.write('bonus', 200)}",
        )


@check.register
def _(messages: MessageRules, here: Here, codes: KnownCodes) -> None:
    if not messages.languages or len(set(messages.languages)) < len(messages.languages):
        here.error(
            "languages", f"name each language once: write {here.write('languages', ['zh', 'en'])}"
        )


def _ends_after_start(start: Any, end: Any, here: Here) -> None:
    if end <= start:
        here.error(
            "until",
            f"it ends at {end.isoformat()}, not after it starts at {start.isoformat()}: "
            "write a later until or an earlier from",
        )


def _keys_of_other_kinds(
    section: Section, kind: str, by_kind: Mapping[str, frozenset[str]], here: Here
) -> None:
    """A key that belongs to another kind is a mistake that would otherwise go unnoticed."""
    own = by_kind.get(kind, frozenset())
    not_default = _keys_not_default(section)
    for key in sorted(frozenset().union(*by_kind.values()) - own):
        if key in not_default:
            kinds = " or ".join(k for k, keys in by_kind.items() if key in keys)
            here.error(
                key,
                f"{key} means nothing for kind {kind}, only for {kinds}: remove it or change kind",
            )


def _keys_not_default(section: Section) -> frozenset[str]:
    """The keys whose value says something: stored rule sets have all defaults written out."""
    return frozenset(
        setting.key
        for setting in settings_of(type(section))
        if getattr(section, setting.attribute) != setting.default
    )


# Lists


def check_list(elements: Sequence[tuple[int, Section]], key: str, here: Here) -> None:
    """Note what is wrong with the order of a list, given its sound elements by number."""
    kinds = {type(element) for _, element in elements}
    if kinds == {Tier}:
        _ladder_of_tiers([(n, t) for n, t in elements if isinstance(t, Tier)], here)
    elif kinds == {Band}:
        _bands([(n, b) for n, b in elements if isinstance(b, Band)], here)
    elif kinds == {LadderStep}:
        _ladder_steps([(n, s) for n, s in elements if isinstance(s, LadderStep)], here)


def _ladder_of_tiers(tiers: Sequence[tuple[int, Tier]], here: Here) -> None:
    number, first = tiers[0]
    if number == 0 and (first.spend or first.repurchases):
        here.at("tiers", 0).error(
            "spend" if first.spend else "repurchases",
            f'"{first.code}" is the first tier, which everybody has: remove its spend and '
            "repurchases, or put a tier without them before it",
        )
    for (_, lower), (number, tier) in pairwise(tiers):
        for key, mine, below in (
            ("spend", tier.spend, lower.spend),
            ("repurchases", tier.repurchases, lower.repurchases),
        ):
            if mine < below:
                here.at("tiers", number).error(
                    key,
                    f'"{tier.code}" needs {mine}, less than "{lower.code}" before it with {below}: '
                    "tiers stand lowest first; correct the figure or move the tier up",
                )
        if (tier.spend, tier.repurchases) == (lower.spend, lower.repurchases):
            here.at("tiers", number).error(
                "",
                f'"{tier.code}" has the same figures as "{lower.code}" before it: '
                "raise its spend or repurchases",
            )


def _bands(bands: Sequence[tuple[int, Band]], here: Here) -> None:
    number, first = bands[0]
    if number == 0 and first.from_ != 0:
        here.at("bands", 0).error(
            "from",
            f"scores from 0 to {first.from_ - 1} would have no level: "
            f"the first band starts with {here.write('from', 0)}",
        )
    for (_, lower), (number, band) in pairwise(bands):
        if band.from_ <= lower.from_:
            here.at("bands", number).error(
                "from",
                f'"{band.code}" starts at {band.from_}, not above "{lower.code}" before it at '
                f"{lower.from_}: bands stand lowest first, each from a higher score",
            )


def _ladder_steps(steps: Sequence[tuple[int, LadderStep]], here: Here) -> None:
    for number, step in steps:
        if step.value > step.threshold:
            here.at("steps", number).error(
                "value",
                f"it takes {step.value} off an order of {step.threshold}: write a smaller value",
            )
    for (_, lower), (number, step) in pairwise(steps):
        if step.threshold <= lower.threshold or step.value <= lower.value:
            here.at("steps", number).error(
                "",
                f"{step.value} off from {step.threshold} does not rise above the step before it, "
                f"{lower.value} off from {lower.threshold}: put the steps lowest first, "
                "each with a higher threshold and a higher value",
            )


# The whole


def codes_of(data: Mapping[str, Any]) -> KnownCodes:
    """The codes that a programme's text defines, also where their sections have other errors."""
    levels, segments = data.get("levels"), data.get("segments")
    return {
        "coupon": _named(data.get("coupons"), "code"),
        "tier": _named(data["tiers"], "code") if data.get("tiers") else None,
        "level": _named(levels.get("bands"), "code") if isinstance(levels, Mapping) else None,
        "segment": _segment_codes(segments) if isinstance(segments, Mapping) else None,
        "lifecycle": frozenset(LIFECYCLE_STAGES) if data.get("lifecycle") is not None else None,
    }


def _named(elements: Any, key: str) -> frozenset[str]:
    values = (
        element.get(key)
        for element in (elements if isinstance(elements, list) else ())
        if isinstance(element, Mapping)
    )
    return frozenset(value for value in values if isinstance(value, str))


def _segment_codes(segments: Mapping[str, Any]) -> frozenset[str]:
    figures = {code for code in ("core", "potential", "dormant") if segments.get(code) is not None}
    otherwise = segments.get("otherwise")
    return frozenset(figures | {otherwise if isinstance(otherwise, str) else "basic"})


def unknown(what: str, code: str, known: Iterable[str]) -> str:
    """The message for a code that no part of the programme defines."""
    known = sorted(known)
    if not known:
        return f"the programme has no {what}, so none of code {shown(code)}: add it, or remove this"
    return f"the programme has no {what} of code {shown(code)}{suggestion(code, known)}"


def check_whole(data: Mapping[str, Any], here: Here) -> None:
    """Note what is wrong between sections."""
    for key, code_key in (
        ("tiers", "code"),
        ("benefits", "code"),
        ("coupons", "code"),
        ("rewards", "reward_id"),
        ("campaigns", "code"),
    ):
        _one_of_each(data.get(key), code_key, key, here)
    levels = data.get("levels")
    if isinstance(levels, Mapping):
        _one_of_each(levels.get("bands"), "code", "bands", Here(here.report, ("levels",)))
    points = data.get("points")
    pending = isinstance(points, Mapping) and points.get("pending") is True
    if pending and data.get("returns") is None:
        here.error(
            "points.pending",
            "points wait for the return window to pass, but there is none: add a section "
            f"returns with {here.write('window_days', 7)}, or {here.write('pending', False)}",
        )


def _one_of_each(elements: Any, code_key: str, key: str, here: Here) -> None:
    first_at: dict[str, int] = {}
    for number, element in enumerate(elements if isinstance(elements, list) else ()):
        code = element.get(code_key) if isinstance(element, Mapping) else None
        if not isinstance(code, str):
            continue
        if code in first_at:
            line = here.report.lines.get((*here.path, key, first_at[code], code_key))
            where = f"in line {line}" if line else f"as no. {first_at[code] + 1}"
            here.at(key, number).error(
                code_key,
                f"{shown(code)} is taken already, {where}: give each of the {key} its own "
                f"{code_key}, or remove one",
            )
        else:
            first_at[code] = number
