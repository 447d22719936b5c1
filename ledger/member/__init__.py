"""A member: the aggregate that decides (PROGRAMME 2 to 5), and one file for each verb.

    aggregate.py      the state, the parts, the new events
    circumstances.py  when, by whom and by which rules something is decided
    enrolling.py      joining, with the newcomer pack
    accruing.py       an order
    activities.py     what else earns
    referring.py      who brought whom, and the reward for it
    redeeming.py      points spent or set aside; reserving.py: how a reservation ends
    refunding.py      an order given back
    adjusting.py      points given or taken by hand
    tiers.py          upgrade, review, grace extension; progress.py: what is missing
    levels.py         the monthly review of level, segment and lifecycle
    benefits.py       what they entitle to, and its use
    status.py         frozen, closed
    settling.py       what time brings: lapses, pending points that become active, expiries
    guarding.py       guard rails: flag, delay, freeze
    granting.py, issuing.py, drawing.py   what the verbs share: lots made, coupons given, lots drawn

A verb checks every rule first and then triggers events; what an event changes stands in
`ledger.applying`. A refused command may have triggered events before it refused: then nothing
of its transaction is kept (`ledger.ledger`).
"""

from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances

__all__ = ["Circumstances", "Member"]
