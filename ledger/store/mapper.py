"""Events to and from the bytes that the log keeps: JSON, short stable topics, schema versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    Cipher,
    Compressor,
    JSONTranscoder,
    Mapper,
    MapperDeserialisationError,
    StoredEvent,
    Transcoder,
)

from ledger.events import TOPICS, Event, RecordedEvent
from ledger.store.recorders import LogEntry

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}
"""(topic, schema) → what makes its decoded state one of the next schema. Kept for ever."""


_SCHEMA_FIRST: Final = b'{"schema":'


class _Schema(msgspec.Struct):
    schema: int


_SCHEMA_DECODER: Final = msgspec.json.Decoder(_Schema)


class EventMapper(Mapper[str]):
    """Maps a `RecordedEvent` to a `StoredEvent` and back.

    The state is the event's JSON; it holds `schema` only where that is above 1. A compressor, then
    a cipher, act on the bytes where the environment sets them.
    """

    def __init__(
        self,
        transcoder: Transcoder | None = None,
        compressor: Compressor | None = None,
        cipher: Cipher | None = None,
        *,
        topics: Mapping[str, type[Event]] = TOPICS,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    ) -> None:
        """`transcoder` is the library's, and unused: msgspec does its work, many times faster."""
        super().__init__(transcoder or JSONTranscoder(), compressor, cipher)
        self._topics = dict(topics)
        self._upcasters = upcasters
        self._encoder = msgspec.json.Encoder()
        self._decoders = {
            topic: msgspec.json.Decoder(event_class) for topic, event_class in topics.items()
        }

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """The stored form of a `RecordedEvent`."""
        event: Event = domain_event.event  # type: ignore[attr-defined]
        return StoredEvent(
            domain_event.originator_id,
            domain_event.originator_version,
            event.TOPIC,
            self.encode(event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> RecordedEvent:
        """The event as it is understood today; `position` and `recorded_at` if they came along.

        Raises `MapperDeserialisationError` for an unknown topic, for bytes that can't be read, and
        for an old schema without upcaster.
        """
        try:
            event = self.decode(stored_event.topic, stored_event.state)
        except Exception as error:
            raise MapperDeserialisationError(
                f"Version {stored_event.originator_version} of stream "
                f"{stored_event.originator_id!r}, topic {stored_event.topic!r}, "
                f"can't be read: {error}"
            ) from error
        entry = stored_event if isinstance(stored_event, LogEntry) else None
        return RecordedEvent(
            str(stored_event.originator_id),
            stored_event.originator_version,
            event,
            entry.id if entry else None,
            entry.recorded_at if entry else None,
        )

    def encode(self, event: Event) -> bytes:
        """The bytes that the log keeps of an event."""
        state = self._encoder.encode(event)
        if event.SCHEMA > 1:
            state = b"%s%d,%s" % (_SCHEMA_FIRST, event.SCHEMA, state[1:])
        if self.compressor:
            state = self.compressor.compress(state)
        if self.cipher:
            state = self.cipher.encrypt(state)
        return state

    def decode(self, topic: str, state: bytes) -> Event:
        """The event that the log's bytes hold; raises `ValueError` and what decoding raises."""
        event_class = self._topics.get(topic)
        if event_class is None:
            raise ValueError("this version of Jifen does not know the topic")
        if self.cipher:
            state = self.cipher.decrypt(state)
        if self.compressor:
            state = self.compressor.decompress(state)
        schema = _schema_of(state)
        if schema == event_class.SCHEMA:
            return self._decoders[topic].decode(state)
        fields = msgspec.json.decode(state)
        return msgspec.convert(self._upcast(fields, topic, schema), event_class)

    def _upcast(self, fields: dict[str, Any], topic: str, schema: int) -> dict[str, Any]:
        today = self._topics[topic].SCHEMA
        if schema > today:
            raise ValueError(f"its schema {schema} is newer than this version of Jifen")
        for each in range(schema, today):
            upcaster = self._upcasters.get((topic, each))
            if upcaster is None:
                raise ValueError(f"there is no upcaster from schema {each}")
            fields = upcaster(fields)
        return fields


def _schema_of(state: bytes) -> int:
    # What `encode` puts first saves a look through the whole state, nearly always for nothing.
    if not state.startswith(_SCHEMA_FIRST):
        return 1
    return _SCHEMA_DECODER.decode(state).schema
