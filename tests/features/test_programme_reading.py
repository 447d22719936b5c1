"""Reading a programme file: the shipped ones read, and every mistake is named with its mend."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.programme import (
    SHIPPED,
    Programme,
    ProgrammeErrors,
    programme_from_json,
    read_programme,
    rules_to_json,
    shipped_text,
)
from ledger.programme.reference import reference_page
from ledger.programme.sections import Section
from ledger.programme.setting import Kind, kind_of, sections_in, settings_of, type_of
from ledger.programme.toml_lines import lines_of

RETAIL = shipped_text("retail")
ROOT = Path(__file__).parents[2]
SMALLEST = 'programme = "p"\ncurrency = "CNY"\ntime_zone = "UTC"\n'


def errors_of(text: str, **how: Any) -> list[tuple[int | None, str, str]]:
    with pytest.raises(ProgrammeErrors) as caught:
        read_programme(text, **how)
    return [(error.line, error.path, error.message) for error in caught.value.errors]


def retail_with(*changes: tuple[str, str]) -> str:
    text = RETAIL
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.split("\n"), 1) if part in line)


# What reads


def test_the_shipped_programmes_read() -> None:
    retail, enterprise = (read_programme(shipped_text(name)) for name in SHIPPED)
    assert (retail.code, retail.points.value, len(retail.coupons)) == (
        "retail",
        Decimal("0.10"),
        10,
    )
    assert retail.tiers[3].extension is not None and retail.tiers[3].extension.when == "lapse"
    assert retail.levels is not None and [band.from_ for band in retail.levels.bands] == [
        0, 51, 101, 151,
    ]  # fmt: skip
    assert retail.campaigns == ()
    assert enterprise.points.align_expiry == "year" and enterprise.points.pending
    assert enterprise.points.debt == "waive"
    assert enterprise.earning is not None and enterprise.earning.stacking == "best"


def test_the_second_programme_differs_from_the_first_in_every_section() -> None:
    retail, enterprise = (read_programme(shipped_text(name)) for name in SHIPPED)
    for setting in settings_of(Programme):
        ours = getattr(retail, setting.attribute)
        theirs = getattr(enterprise, setting.attribute)
        assert ours != theirs, setting.key
        assert theirs is not None and theirs != (), setting.key


@pytest.mark.parametrize("name", SHIPPED)
def test_a_programme_goes_through_json_and_back(name: str) -> None:
    programme = read_programme(shipped_text(name))
    stored = rules_to_json(programme)
    assert programme_from_json(stored) == programme
    again = read_programme(stored, format="json")
    assert rules_to_json(again) == stored


def test_the_same_rules_written_otherwise_are_the_same_rule_set() -> None:
    otherwise = retail_with(
        ('value = "0.10"', 'value = "0.1"'),
        ('rate = "1"', "rate = 1"),
        ('core = "1.2"', 'core = "1.200"'),
        ('debt = "allow"', ""),
        ("[points]", "# a remark\n[points]"),
    ).replace("\n", "\r\n")
    assert rules_to_json(read_programme(otherwise)) == rules_to_json(read_programme(RETAIL))


def test_an_omitted_section_is_off_and_an_omitted_key_takes_its_default() -> None:
    programme = read_programme(SMALLEST)
    assert programme.earning is None and programme.redemption is None and programme.levels is None
    assert programme.tiers == () and programme.limits.redemptions_per_day == 0
    assert programme.points.value == Decimal("0.10") and programme.points.restored_min_days == 7


def test_any_whole_section_of_retail_can_be_left_out_where_no_rule_needs_it() -> None:
    data = json.loads(rules_to_json(read_programme(RETAIL)))
    for key in data:
        if key in ("programme", "currency", "time_zone", "coupons"):
            continue
        read_programme(json.dumps({**data, key: None}), format="json")


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert read_programme("\ufeff" + SMALLEST).code == "p"


def test_campaign_times_are_kept_as_instants_in_the_programmes_zone() -> None:
    in_utc = CAMPAIGN.replace("T00:00:00+08:00", "T00:00:00Z")
    text = retail_with(("[messages]", in_utc + "[messages]"))
    campaign = read_programme(text).campaigns[0]
    assert campaign.from_.isoformat() == "2026-08-08T08:00:00+08:00"


CAMPAIGN = """\
[[campaigns]]
code = "member_day"
from = 2026-08-08T00:00:00+08:00
until = 2026-08-09T00:00:00+08:00
multiplier = "2"

"""

# What does not


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ('stacking = "multiply"', 'stackng = "best"', "earning.stackng", 'mean "stacking"?'),
        ("[returns]", "[return]", "return", 'did you mean "returns"?'),
        ('stacking = "multiply"', 'stacking = "multipl"', "earning.stacking", 'mean "multiply"?'),
        ('rate = "1"', 'rate = "-1"', "earning.rate", "-1 is negative: write 0 or more"),
        ('rate = "1"', "rate = 1.5", "earning.rate", 'write rate = "1.5"'),
        ('rate = "1"', 'rate = "1e3"', "earning.rate", "is not an exact number"),
        ('rate = "1"', 'rate = "１"', "earning.rate", "is not an exact number"),
        ('rate = "1"', 'rate = ""', "earning.rate", "is not an exact number"),
        ('value = "0.10"', "value = 0.10", "points.value", 'write value = "0.10"'),
        ('value = "0.10"', 'value = "0.105"', "points.value", 'write value = "0.11"'),
        ('value = "0.10"', 'value = "999999999.99"', "points.value", "at most 99999999.99"),
        ('value = "0.10"', "value = true", "points.value", "true is not money"),
        ('rate = "0.10"', "rate = nan", "accounting.breakage_rate", "NaN is not a number"),
        ('rate = "0.10"', "rate = inf", "accounting.breakage_rate", "Infinity is not a number"),
        ('rate = "0.10"', 'rate = "1.10"', "accounting.breakage_rate", "write at most 1"),
        ("points = 50\n", 'points = "50"\n', "newcomer.points", "write points = 50, without"),
        ("points = 50\n", "points = 50.5\n", "newcomer.points", "write points = 50, without"),
        ("points = 50\n", "points = -50\n", "newcomer.points", "-50 is negative"),
        ("points = 50\n", "points = 9999999999\n", "newcomer.points", "at most 1000000000"),
        ("pending = false", "pending = 0", "points.pending", "write pending = true"),
        ('= "first_order"', '= "frist_order"', "newcomer.coupon", 'mean "first_order"?'),
        ('coupon = "voucher_50"', "", "rewards[voucher_50]", "does not say which"),
        ('up_to = "gold"', 'up_to = "golt"', "rewards[tier_up].up_to", 'did you mean "gold"?'),
        ('loyal = "1.2"', 'royal = "1.2"', "earning.level_multipliers.royal", 'mean "loyal"?'),
        ("{ core = 15 }", "{ kore = 15 }", "returns.window_days_by_segment.kore", 'mean "core"?'),
        ("segment:potential", "segment:potent", "coupons[ladder].standing", 'mean "potential"?'),
        ('"birthday"\nname', '"first_order"\nname', "coupons[first_order].code", "in line 174"),
        ('"silver"', '"gold"', "tiers[gold].code", "is taken already"),
        ('"charity"\nname', '"voucher_50"\nname', "rewards[voucher_50].reward_id", "is taken"),
        ('"core", from', '"active", from', "levels.bands[active].code", "is taken already"),
        ('spend = "10000.00"', 'spend = "1000.00"', "tiers[gold].spend", "lowest first"),
        ("repurchases = 5\n", "repurchases = 1\n", "tiers[gold].repurchases", "lowest first"),
        ("months = 3 }", "months = 13 }", "tiers[silver].extension.months", "longer than"),
        ('"ordinary", from = 0', '"ordinary", from = 9', "levels.bands[ordinary].from", "0 to 8"),
        ("from = 101", "from = 51", "levels.bands[core].from", "lowest first"),
        ('weight = "0.4"', 'weight = "0.5"', "levels.activity_weight", 'activity_weight = "0.4"'),
        ('value = "10"', 'value = "110"', "coupons[second_order_90].value", "more than the whole"),
        ('threshold = "3000', 'threshold = "900', "coupons[ladder].steps[#2]", "lowest first"),
        ("Asia/Shanghai", "Asia/Shanghia", "time_zone", 'did you mean "Asia/Shanghai"?'),
        ("Asia/Shanghai", "+08:00", "time_zone", 'such as "Asia/Shanghai"'),
        ('"CNY"', '"RMB"', "currency", 'did you mean "CNY"?'),
        ('"CNY"', '"cny"', "currency", 'did you mean "CNY"?'),
        ('"CNY"', '"JPY"', "currency", "no decimals"),
        ('"CNY"', '"XYZ"', "currency", "ISO 4217"),
        ('currency = "CNY"', "", "", 'currency is missing: add currency = "CNY"'),
        ('kind = "goods"\n', "", "rewards[small_appliance]", 'kind is missing: add kind = "goods"'),
        ('"retail"', '"零售"', "programme", "names for people go into name"),
        ('{ zh = "零售会员", en = "Retail rewards" }', '"Retail"', "name", "write name = { zh"),
        ("validity = { years = 1 }", "validity = 1", "points.validity", "{ years = 1 }"),
        ("validity = { years = 1 }", "validity = { years = 0 }", "points.validity", "no time"),
        ("excluded_skus = []", 'excluded_skus = "A1"', "earning.excluded_skus", "a list belongs"),
        ("excluded_skus = []", "excluded_skus = [7]", "earning.excluded_skus[#1]", 'write "7"'),
        ('["22:00", "08:00"]', '["22:00"]', "messages.quiet_hours", "two times of day"),
        ('["22:00", "08:00"]', '["22:00", "24:00"]', "messages.quiet_hours", "two times of day"),
        ("[accounting]", "[[accounting]]", "accounting", "write [accounting] in single"),
        ("step = 100", "step = 0", "redemption.step", "write 1 or more"),
        ("review_day = 1", "review_day = 31", "levels.review_day", "write at most 28"),
        ("lapsing_months = 3", "lapsing_months = 9", "lifecycle.lapsing_months", "at most"),
        (
            'cap = "100.00"',
            'gift = "tea"',
            "coupons[birthday].gift",
            "only for gift",
        ),
        (
            'action = "flag"',
            'action = "block"',
            "guard_rails.redemptions_per_hour.action",
            "one of",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_mend(
    old: str, new: str, path: str, says: str
) -> None:
    text = retail_with((old, new))
    found = [error for error in errors_of(text) if error[1] == path]
    assert found and says in found[0][2], errors_of(text)
    if new and path not in ("", "coupons[first_order].code"):
        changed = {n for n, line in enumerate(text.split("\n"), 1) if new.split("\n")[0] in line}
        assert found[0][0] in changed


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ("until = 2026-08-09", "until = 2026-08-07", "until", "not after it starts"),
        ("until = 2026-08-09", "until = 2026-08-08", "until", "not after it starts"),
        ("00:00:00+08:00", "00:00:00", "from", "write from = 2026-08-08T00:00:00+08:00"),
        ("2026-08-08T00:00:00+08:00", "2026-08-08", "from", "write from = 2026-08-08T00:00"),
        ("2026-08-08T00:00:00+08:00", '"soon"', "from", "is not a date with time"),
        ('multiplier = "2"\n', "", "", "changes nothing"),
        ('multiplier = "2"', 'multiplier = "0"', "multiplier", "write more than 0"),
        ('multiplier = "2"', 'multiplier = "2"\nonly = { tiers = ["golden"] }', "only.tiers[#1]",
         'did you mean "gold"?'),
        ('multiplier = "2"', 'multiplier = "2"\nonly = { lifecycle = ["lapsed"] }',
         "only.lifecycle[#1]", "of code"),
    ],
)  # fmt: skip
def test_2_8_a_campaign_that_cannot_be_is_named(old: str, new: str, path: str, says: str) -> None:
    text = retail_with(("[messages]", CAMPAIGN.replace(old, new, 1) + "[messages]"))
    where = f"campaigns[member_day].{path}".rstrip(".")
    (found,) = errors_of(text)
    assert found[1] == where and says in found[2]
    assert line_of(text, "[[campaigns]]") <= (found[0] or 0)


def test_2_8_two_campaigns_of_one_code_are_named_with_both_lines() -> None:
    text = retail_with(("[messages]", CAMPAIGN + CAMPAIGN + "[messages]"))
    (found,) = errors_of(text)
    first = line_of(text, 'code = "member_day"\n'.strip())
    # the shipped file has the same campaign as a remark
    codes = [n for n, line in enumerate(text.split("\n"), 1) if line == 'code = "member_day"']
    assert first < codes[0] < codes[1]
    assert found[:2] == (codes[1], "campaigns[member_day].code")
    assert f"in line {codes[0]}" in found[2]


def test_a_keep_figure_needs_a_tier_that_can_be_reached() -> None:
    text = SMALLEST + '[[tiers]]\ncode = "regular"\nkeep = { spend = "10.00" }\n'
    assert errors_of(text) == [
        (
            6,
            "tiers[regular].keep",
            'tier "regular" has keep figures but no figures that reach it: '
            "add spend or repurchases to the tier, or remove keep",
        )
    ]


def test_the_first_tier_is_everybodys() -> None:
    text = SMALLEST + '[[tiers]]\ncode = "silver"\nspend = "10.00"\n'
    assert "first tier, which everybody has" in errors_of(text)[0][2]


def test_two_tiers_with_the_same_figures_are_one_too_many() -> None:
    text = SMALLEST + '[[tiers]]\ncode = "a"\n[[tiers]]\ncode = "b"\n'
    assert "has the same figures" in errors_of(text)[0][2]


LADDER = """\
[[tiers]]
code = "regular"
[[tiers]]
code = "gold"
spend = "10.00"
"""


@pytest.mark.parametrize(
    ("extra", "line", "path", "says"),
    [
        (
            'extension = { repurchases = 6, months = 13 }\n',
            9, "tiers[gold].extension.months", "write at most months = 12",
        ),
        (
            '[[tiers]]\ncode = "silver"\nspend = "9.99"\n',
            11, "tiers[silver].spend", "tiers stand lowest first",
        ),
        (
            '[[benefits]]\ncode = "gift"\ntiers = ["regular", "goldd"]\n',
            11, "benefits[gift].tiers[#2]", 'no tier of code "goldd"; did you mean "gold"?',
        ),
        (
            '[[benefits]]\ncode = "gift"\nlevels = ["core"]\n'
            '[levels]\nbands = [ { code = "low", from = 0 } ]\n',
            11, "benefits[gift].levels[#1]", 'no level of code "core"',
        ),
        (
            '[[benefits]]\ncode = "gift"\nsegments = ["core"]\n[segments]\n',
            11, "benefits[gift].segments[#1]", 'no segment of code "core"',
        ),
        ('[[benefits]]\ncode = "gift"\n', 9, "benefits[gift]", "nobody has benefit"),
        (
            '[[benefits]]\ncode = "gift"\ntiers = ["gold"]\nevery = "week"\n',
            12, "benefits[gift].every", "one of",
        ),
        (
            '[[benefits]]\ncode = "gift"\ntiers = ["gold"]\ntimes = -1\n',
            12, "benefits[gift].times", "-1 is negative",
        ),
        (
            2 * '[[benefits]]\ncode = "gift"\ntiers = ["gold"]\n',
            13, "benefits[gift].code", "is taken already, in line 10",
        ),
        (
            '[levels]\nbands = [\n  { code = "low", from = 0 },\n'
            '  { code = "high", from = 0 },\n]\n',
            12, "levels.bands[high].from", "each from a higher score",
        ),
        (
            '[levels]\nspend_weight = "0.7"\nactivity_weight = "0.4"\n'
            'bands = [ { code = "low", from = 0 } ]\n',
            11, "levels.activity_weight", 'write activity_weight = "0.3"',
        ),
    ],
)  # fmt: skip
def test_6_7_mistakes_in_tiers_levels_and_benefits_are_named_with_line_and_mend(
    extra: str, line: int, path: str, says: str
) -> None:
    (found,) = errors_of(SMALLEST + LADDER + extra)
    assert found[:2] == (line, path)
    assert says in found[2]


def test_an_extension_needs_a_tier_that_can_be_reached() -> None:
    text = SMALLEST + ('[[tiers]]\ncode = "regular"\nextension = { repurchases = 6, months = 3 }\n')
    (found,) = errors_of(text)
    assert found[:2] == (6, "tiers[regular].extension")
    assert "add spend or repurchases to the tier, or remove extension" in found[2]


def test_pending_points_need_a_return_window() -> None:
    text = SMALLEST + "[points]\npending = true\n"
    assert errors_of(text)[0][:2] == (5, "points.pending")
    assert read_programme(text + "[returns]\n").returns is not None


def test_fixed_dates_of_a_coupon_exclude_valid_days() -> None:
    text = SMALLEST + (
        '[[coupons]]\ncode = "c"\nkind = "gift"\nvalid_from = 2026-05-02\n'
        "valid_until = 2026-05-01\nvalid_days = 30\n"
    )
    assert [error[:2] for error in errors_of(text)] == [
        (8, "coupons[c].valid_until"),
        (9, "coupons[c].valid_days"),
    ]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = retail_with(
        ('rate = "1"', 'rate = "-1"'),
        ("[returns]", "[return]"),
        ('spend = "10000.00"', 'spend = "1000.00"'),
        ("months = 3 }", "months = 13 }"),
        ('weight = "0.4"', 'weight = "0.5"'),
        ("from = 101", "from = 11"),
        ('coupon = "brand_gift"', 'coupon = "brand"'),
    )
    found = errors_of(text)
    assert [path for _, path, _ in found] == [
        "earning.rate",
        "spend_gifts[#1].coupon",
        "return",
        "tiers[silver].extension.months",
        "tiers[gold].spend",
        "levels.activity_weight",
        "levels.bands[core].from",
    ]
    lines = [line or 0 for line, _, _ in found]
    assert lines == sorted(lines)


def test_the_errors_read_as_sentences_with_line_and_place() -> None:
    with pytest.raises(ProgrammeErrors) as caught:
        read_programme(retail_with(('rate = "1"', 'rate = "-1"')))
    assert str(caught.value) == "line 23, earning.rate: -1 is negative: write 0 or more"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("currency = CNY\n", 1, "in quotes"),
        ('a = "x"\na = "y"\n', 2, "stands twice"),
        ("[points]\n[points]\n", 2, "section stands twice"),
        ("\n[points\n", 2, "']'"),
        ("programme\n", 1, 'write key = "value"'),
        ('a = "x" y\n', 1, "behind the value"),
        ("\0", 1, 'write key = "value"'),
        ("a = " + "9" * 5000, None, "too many digits"),
        ("a = " + "[" * 50_000, None, "too deeply"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, line: int | None, says: str) -> None:
    (found,) = errors_of(text)
    assert found[0] == line and says in found[2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "this is not JSON"),
        ("", "this is not JSON"),
        ("[1]", "an object of sections"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
        ("[" * 100_000, "too deeply"),
    ],
)
def test_what_is_no_json_object_is_told(text: str, says: str) -> None:
    (found,) = errors_of(text, format="json")
    assert says in found[2]


def test_json_mistakes_are_told_by_place_in_the_form_of_json() -> None:
    data = json.loads(rules_to_json(read_programme(RETAIL)))
    data["points"]["value"] = 0.1
    data["tiers"][1]["name"] = {"zh": "\ud800"}
    data["coupons"][0]["code"] = None
    found = errors_of(json.dumps(data), format="json")
    assert {line for line, _, _ in found} == {None}
    by_place = {path: message for _, path, message in found}
    assert by_place["coupons[#1]"] == 'code is missing: add "code": "welcome_10"'
    assert by_place["points.value"].endswith('write "value": "0.1"')
    assert "control character" in by_place["tiers[silver].name.zh"]


def test_a_hostile_text_gets_a_bounded_answer() -> None:
    data = {f"key_{n}": "\ud800" * 100 for n in range(5000)}
    found = errors_of(json.dumps(data), format="json")
    assert len(found) == 200
    long_key = "x" * 100_000
    (_, path, message), *_ = errors_of(json.dumps({long_key: 1}), format="json")
    assert len(path) < 100 and len(message) < 1000


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for number, element in enumerate(value):
            yield from places(element, (*path, number))


STORED = {name: rules_to_json(read_programme(shipped_text(name))) for name in SHIPPED}
PLACES = [(name, path) for name in SHIPPED for path in places(json.loads(STORED[name]))]


@given(st.sampled_from(PLACES), JUNK)
@settings(max_examples=200, deadline=None)
def test_junk_anywhere_is_a_named_mistake_or_a_sound_programme(
    where: tuple[str, tuple[Any, ...]], junk: Any
) -> None:
    name, path = where
    data = json.loads(STORED[name])
    table = data
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = junk
    try:
        programme = read_programme(json.dumps(data), format="json")
    except ProgrammeErrors as caught:
        assert caught.errors
        str(caught).encode()
    else:
        stored = rules_to_json(programme)
        assert programme_from_json(stored) == programme
        assert rules_to_json(read_programme(stored, format="json")) == stored


# Lines

GNARLY = '''
# a remark with [brackets] = "and such"
"quoted key" = 1
'single' . dotted . "key" = "a # b ] } , \\" c"
many = [ 1, [2, 3], # remark ]
  { a = "x", b.c = [ "]" ] },
]
text = """
[not.a.table]
"quotes" = 1 \\""" still """
raw = \'\'\'
[[neither]] \'\'\'
day = 2026-08-08 00:00:00
[a.b]
c = 1
[[list]]
x = 1
[list.inner]
y = 2
[[list]]
[[list.nested]]
z = 3
[[list.nested]]
  z   =   4
'''


@pytest.mark.parametrize("text", [GNARLY, *(shipped_text(name) for name in SHIPPED)])
def test_every_key_of_a_toml_text_has_its_line(text: str) -> None:
    found = lines_of(text)
    assert set(places(tomllib.loads(text))) == set(found)
    for path, line in found.items():
        key = next(part for part in reversed(path) if isinstance(part, str))
        above = "\n".join(text.split("\n")[:line])
        assert key in above


def test_lines_are_those_of_the_text() -> None:
    found = lines_of(GNARLY)
    assert found["single", "dotted", "key"] == 4
    assert found["many", 1, 1] == 5
    assert found["many", 2, "b", "c"] == 6
    assert found["raw",] == 11
    assert found["a", "b", "c"] == 15
    assert found["list", 0, "inner", "y"] == 19
    assert found["list", 1, "nested", 1, "z"] == 24
    assert lines_of(GNARLY.replace("\n", "\r\n")) == found


# The reference


def all_sections(section: type[msgspec.Struct] = Programme) -> Iterator[type[msgspec.Struct]]:
    yield section
    for setting in settings_of(section):
        for below in sections_in(setting.annotation):
            yield from all_sections(below)


def test_the_reference_page_is_up_to_date() -> None:
    page = (ROOT / "docs/reference/programme.md").read_text(encoding="utf-8")
    assert page == reference_page(), (
        "write it anew: python -m ledger.programme.reference > docs/reference/programme.md"
    )


def test_every_setting_says_what_it_is_and_what_an_omitted_key_means() -> None:
    for section in set(all_sections()):
        assert issubclass(section, Section) and section.__doc__
        for setting in settings_of(section):
            about = setting.about
            assert about.text.endswith("."), (section, setting.key)
            if setting.default is None:
                assert about.omitted, (section, setting.key)
            if type_of(setting.annotation) is int:
                assert about.unit, (section, setting.key)


def test_every_key_of_the_shipped_programmes_is_in_the_reference() -> None:
    page = reference_page()
    for name in SHIPPED:
        for path in places(tomllib.loads(shipped_text(name))):
            key = path[-1]
            is_code = any(part in path[:-1] for part in NAMED_BY_BUSINESS)
            if isinstance(key, str) and not is_code and key not in ("zh", "en"):
                assert f"| `{key}` |" in page, path


NAMED_BY_BUSINESS = (
    "level_multipliers", "level_discounts", "activities", "window_days_by_segment",
)  # fmt: skip


def test_every_default_is_written_as_a_rule_set_stores_it() -> None:
    for section in set(all_sections()):
        for setting in settings_of(section):
            if not isinstance(setting.default, Decimal):
                continue
            is_money = kind_of(setting.annotation) in (Kind.MONEY, Kind.AMOUNT)
            exponent = setting.default.as_tuple().exponent
            assert (
                exponent == -2
                if is_money
                else str(setting.default)[-1:] != "0"
                or (setting.default == setting.default.to_integral_value())
            ), (section, setting.key)
