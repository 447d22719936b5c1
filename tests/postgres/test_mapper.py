"""Events to and from the bytes that the log keeps."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from eventsourcing.cipher import AESCipher
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent
from eventsourcing.utils import Environment

from ledger.events import TOPICS, Actor, Event, MemberFrozen, Meta, RecordedEvent
from ledger.store.database import Database
from ledger.store.mapper import EventMapper
from ledger.store.recorders import LogRecorder

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
META = Meta(actor=Actor(key="desk-1", role="service"))
FROZEN = RecordedEvent("member/m-1", 2, MemberFrozen(occurred_at=NOON, meta=META, reason="查证"))


class ParcelSentV3(Event, frozen=True, kw_only=True):
    """An invented event that has had three schemas."""

    TOPIC = "ParcelSent"
    SCHEMA = 3
    weight_kg: Decimal
    carrier: str


def weight_in_kilograms(fields: dict[str, Any]) -> dict[str, Any]:
    grams = fields.pop("grams")
    return {**fields, "weight_kg": str(Decimal(grams) / 1000)}


def carrier_unknown(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "carrier": "unknown"}


@pytest.fixture
def parcels() -> EventMapper:
    return EventMapper(
        topics={"ParcelSent": ParcelSentV3},
        upcasters={("ParcelSent", 1): weight_in_kilograms, ("ParcelSent", 2): carrier_unknown},
    )


def parcel_stored(state: bytes) -> StoredEvent:
    return StoredEvent("parcel/p-1", 1, "ParcelSent", state)


def test_an_event_comes_back_as_it_went() -> None:
    mapper = EventMapper()
    stored = mapper.to_stored_event(FROZEN)
    assert (stored.originator_id, stored.originator_version) == ("member/m-1", 2)
    assert stored.topic == "MemberFrozen"
    assert msgspec.json.decode(stored.state)["reason"] == "查证"
    assert b"schema" not in stored.state
    assert mapper.to_domain_event(stored) == FROZEN


def test_an_event_from_the_log_knows_its_position_and_time(database: Database) -> None:
    mapper = EventMapper()
    recorder = LogRecorder(database, clock=lambda: NOON)
    recorder.insert_events([mapper.to_stored_event(FROZEN)])
    (entry,) = recorder.select_notifications(None, 10)
    recorded = mapper.to_domain_event(entry)
    assert (recorded.position, recorded.recorded_at) == (1, NOON)
    assert recorded.event == FROZEN.event


@pytest.mark.parametrize("compressor", [None, zlib])
@pytest.mark.parametrize("with_cipher", [False, True])
def test_compressor_and_cipher_work_where_set(compressor: Any, with_cipher: bool) -> None:
    key = Environment(env={AESCipher.CIPHER_KEY: AESCipher.create_key(16)})
    mapper = EventMapper(compressor=compressor, cipher=AESCipher(key) if with_cipher else None)
    stored = mapper.to_stored_event(FROZEN)
    assert ("查证".encode() in stored.state) is (compressor is None and not with_cipher)
    assert mapper.to_domain_event(stored) == FROZEN


def test_the_state_names_a_schema_above_1(parcels: EventMapper) -> None:
    event = ParcelSentV3(occurred_at=NOON, meta=META, weight_kg=Decimal("1.5"), carrier="SF")
    recorded = RecordedEvent("parcel/p-1", 1, event)
    stored = parcels.to_stored_event(recorded)
    assert msgspec.json.decode(stored.state)["schema"] == 3
    assert parcels.to_domain_event(stored) == recorded


@pytest.mark.parametrize(
    ("schema", "field"), [(b"", b'"grams":1500'), (b'"schema":2,', b'"weight_kg":"1.5"')]
)
def test_an_old_schema_is_read_through_its_upcasters(
    parcels: EventMapper, schema: bytes, field: bytes
) -> None:
    meta = msgspec.json.encode(META)
    state = b'{%s"occurred_at":"2026-05-01T12:00:00Z","meta":%s,%s}' % (schema, meta, field)
    event = parcels.to_domain_event(parcel_stored(state)).event
    expected = ParcelSentV3(
        occurred_at=NOON, meta=META, weight_kg=Decimal("1.5"), carrier="unknown"
    )
    assert event == expected


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (StoredEvent("member/m-1", 7, "NeverHeardOf", b"{}"), "does not know the topic"),
        (StoredEvent("member/m-1", 7, "MemberFrozen", b"{}"), "missing required field"),
        (StoredEvent("member/m-1", 7, "MemberFrozen", b"\xff"), "malformed"),
        (StoredEvent("member/m-1", 7, "MemberFrozen", b'{"schema":2}'), "is newer than"),
    ],
)
def test_what_cannot_be_read_is_named(stored: StoredEvent, reason: str) -> None:
    with pytest.raises(MapperDeserialisationError) as refused:
        EventMapper().to_domain_event(stored)
    sentence = str(refused.value)
    assert "Version 7 of stream 'member/m-1'" in sentence
    assert stored.topic in sentence
    assert reason in sentence


def test_a_schema_without_upcaster_is_named() -> None:
    mapper = EventMapper(topics={"ParcelSent": ParcelSentV3}, upcasters={})
    with pytest.raises(MapperDeserialisationError, match="no upcaster from schema 1"):
        mapper.to_domain_event(parcel_stored(b"{}"))


def test_no_event_has_a_field_called_schema() -> None:
    assert not [topic for topic, each in TOPICS.items() if "schema" in each.__struct_fields__]
