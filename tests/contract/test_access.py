"""Keys and roles: who may do what, and how soon a revoked key is refused."""

from __future__ import annotations

import re
import time

import pytest
from calling import Api, problem_of
from flask import Flask

from api.keys import (
    CACHE_SECONDS,
    KeyRing,
    create_key,
    ensure_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.store.database import Database

OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}

ALLOWED = [
    ("POST", "/v1/members", {"pos"}),
    ("GET", "/v1/members?phone=1", {"pos", "service", "finance"}),
    ("GET", "/v1/members/m-1", {"pos", "service", "finance"}),
    ("GET", "/v1/members/m-1?as_of=2026-01-01T00:00:00Z", {"service", "finance"}),
    ("GET", "/v1/members/m-1?known_at=2026-01-01T00:00:00Z", {"service", "finance"}),
    ("GET", "/v1/members/m-1/benefits", {"pos", "service"}),
    ("POST", "/v1/members/m-1/benefits", {"pos", "service"}),
    ("POST", "/v1/quotes", {"pos"}),
    ("POST", "/v1/accruals", {"pos"}),
    ("POST", "/v1/activities", {"pos"}),
    ("POST", "/v1/redemptions", {"pos"}),
    ("GET", "/v1/redemptions/r-1", {"pos", "service"}),
    ("POST", "/v1/redemptions/r-1/capture", {"pos"}),
    ("POST", "/v1/redemptions/r-1/release", {"pos"}),
    ("POST", "/v1/refunds", {"pos"}),
    ("POST", "/v1/batches", {"pos"}),
    ("GET", "/v1/members/m-1/history", {"service"}),
    ("GET", "/v1/members/m-1/replay?version=1", {"service"}),
    ("POST", "/v1/members/m-1/adjustments", {"service"}),
    ("GET", "/v1/adjustments/a-1", {"service"}),
    ("POST", "/v1/adjustments/a-1/approve", {"service"}),
    ("POST", "/v1/adjustments/a-1/reject", {"service"}),
    ("POST", "/v1/members/m-1/freeze", {"service"}),
    ("POST", "/v1/members/m-1/unfreeze", {"service"}),
    ("POST", "/v1/members/m-1/close", {"service"}),
    ("GET", "/v1/programme", set()),
    ("POST", "/v1/programme/check", {"admin"}),
    ("PUT", "/v1/programme", set()),
    ("POST", "/v1/programme/check", set()),
    ("GET", "/v1/jobs", set()),
    ("POST", "/v1/jobs/expire-points/runs", set()),
    ("GET", "/v1/keys", set()),
    ("POST", "/v1/keys", set()),
    ("POST", "/v1/keys/k-1/rotate", set()),
    ("DELETE", "/v1/keys/k-1", set()),
]


@pytest.mark.parametrize(
    ("method", "path", "role", "wanted"),
    [
        ("GET", "/v1/keys", "pos", "admin"),
        ("GET", "/v1/redemptions/r-1", "finance", "pos or service or admin"),
    ],
)
def test_who_lacks_the_role_is_told_each_role_once(
    api: Api, method: str, path: str, role: str, wanted: str
) -> None:
    answer = api.call(method, path, role=role)
    assert problem_of(answer)["detail"] == f"Use a key with the role {wanted}."


@pytest.mark.parametrize("role", ["pos", "service", "finance", "admin"])
@pytest.mark.parametrize(("method", "path", "roles"), ALLOWED)
def test_each_endpoint_is_for_its_roles_and_admin(
    api: Api, method: str, path: str, roles: set[str], role: str
) -> None:
    answer = api.call(method, path, role=role)
    if role in roles or role == "admin":
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert answer.status_code == 403
        assert problem_of(answer)["code"] == "forbidden"


def test_every_endpoint_under_v1_is_in_the_table_above(app: Flask) -> None:
    patterns = {
        (method, re.sub(r"<[^>]+>", "[^/?]+", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/v1")
    }
    for method, pattern in patterns:
        assert any(
            method == listed and re.fullmatch(pattern, path.partition("?")[0])
            for listed, path, _ in ALLOWED
        ), f"{method} {pattern} is not tested"


@pytest.mark.parametrize(("method", "path", "_roles"), ALLOWED)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer jf_unknown_secret",
        "Bearer schlüssel",
        "Basic YTpi",
        "Bearer " + "x" * 5000,
    ],
)
def test_without_a_valid_key_everything_under_v1_is_refused(
    api: Api, method: str, path: str, _roles: set[str], authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = api.call(method, path, role=None, headers=headers)
    assert answer.status_code == 401
    assert problem_of(answer)["code"] == "unauthenticated"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_right_id_with_a_wrong_secret_is_refused(api: Api) -> None:
    start = api.keys["admin"].rpartition("_")[0]
    answer = api.get("/v1/keys", role=None, headers={"Authorization": f"Bearer {start}_guess"})
    assert answer.status_code == 401


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_runs_the_house_is_asked_without_a_key(api: Api, path: str) -> None:
    assert api.get(path, role=None).status_code in (200, 503)


def test_an_event_names_the_key_and_the_role_it_acted_in(api: Api) -> None:
    member_id = api.member()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "1.00"}
    api.post("/v1/accruals", order, role="pos")
    actors = [recorded.event.meta.actor for recorded in api.ledger.events_of(member_id)]
    assert [(actor.key, actor.role) for actor in actors] == [("admin-1", "admin"), ("pos-1", "pos")]


def test_a_key_is_made_listed_rotated_and_revoked(api: Api) -> None:
    name = api.name("till")
    made = api.post("/v1/keys", {"name": name, "roles": ["pos", "service"]})
    assert made.status_code == 201
    key = made.json
    assert key is not None
    assert key["roles"] == ["pos", "service"]
    first = {"Authorization": f"Bearer {key['key']}"}
    assert api.get("/v1/members?phone=1", role=None, headers=first).status_code == 200

    listed = [each for each in (api.get("/v1/keys").json or {})["keys"] if each["name"] == name]
    assert [each["id"] for each in listed] == [key["id"]]
    assert "key" not in listed[0]

    rotated = api.post(f"/v1/keys/{key['id']}/rotate").json
    assert rotated is not None
    second = {"Authorization": f"Bearer {rotated['key']}"}
    assert api.get("/v1/members?phone=1", role=None, headers=first).status_code == 401
    assert api.get("/v1/members?phone=1", role=None, headers=second).status_code == 200

    revoked = api.call("DELETE", f"/v1/keys/{key['id']}")
    assert revoked.status_code == 200
    assert revoked.json is not None
    assert revoked.json["revoked_at"] is not None
    assert api.get("/v1/members?phone=1", role=None, headers=second).status_code == 401
    assert api.call("DELETE", f"/v1/keys/{key['id']}").json == revoked.json


def test_two_live_keys_never_share_a_name(api: Api) -> None:
    name = api.name("till")
    assert api.post("/v1/keys", {"name": name, "roles": ["pos"]}).status_code == 201
    answer = api.post("/v1/keys", {"name": name, "roles": ["pos"]})
    assert answer.status_code == 409
    assert problem_of(answer)["code"] == "already_recorded"


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/v1/keys/nobody"), ("POST", "/v1/keys/nobody/rotate")]
)
def test_an_unknown_key_is_not_found(api: Api, method: str, path: str) -> None:
    answer = api.call(method, path)
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"


def test_keys_come_by_pages(api: Api) -> None:
    ids: list[str] = []
    query: dict[str, str | int] | None = {"limit": 2}
    while query is not None:
        page = api.get("/v1/keys", query_string=query).json
        assert page is not None
        ids += [key["id"] for key in page["keys"]]
        query = {"limit": 2, "cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert ids == [key.id for key in list_keys(api.ledger.database)]


def test_only_the_hash_of_a_key_is_stored(database: Database) -> None:
    key_id, plain = create_key(database, name="till", roles=["pos"])
    assert re.fullmatch(rf"jf_{key_id}_[A-Za-z0-9_-]{{43}}", plain)
    with database.transaction() as cursor:
        cursor.execute("SELECT api_keys::text FROM api_keys")
        assert plain.split("_", 2)[2] not in str(cursor.fetchall())


def test_a_role_that_does_not_exist_is_refused(database: Database) -> None:
    for roles in ([], ["root"], ["pos", "root"]):
        with pytest.raises(InvalidRequest):
            create_key(database, name="till", roles=roles)


def test_a_revoked_key_is_refused_by_every_process_within_five_seconds(
    database: Database,
) -> None:
    assert CACHE_SECONDS < 5
    now = [0.0]
    ring = KeyRing(database, lambda: now[0])
    key_id, plain = create_key(database, name="till", roles=["pos"])
    assert ring.recognise(plain) is not None
    revoke_key(database, key_id)
    now[0] = CACHE_SECONDS
    assert ring.recognise(plain) is None


def test_a_new_key_is_recognised_at_once(database: Database) -> None:
    ring = KeyRing(database)
    assert ring.recognise("chosen-by-hand") is None
    ensure_key(database, "chosen-by-hand", ["admin"], "environment")
    assert ring.recognise("chosen-by-hand") is not None


def test_a_key_chosen_beforehand_takes_the_place_of_the_one_before(database: Database) -> None:
    first = ensure_key(database, "first-choice", ["admin"], "environment")
    assert ensure_key(database, "first-choice", ["admin"], "environment") == first
    ensure_key(database, "second-choice", ["admin"], "environment")
    assert find_key(database, "first-choice") is None
    found = find_key(database, "second-choice")
    assert found is not None
    assert (found.name, found.roles) == ("environment", ["admin"])


def test_a_rotated_or_revoked_key_that_is_not_live_is_not_found(database: Database) -> None:
    key_id, _ = create_key(database, name="till", roles=["pos"])
    revoke_key(database, key_id)
    with database.transaction() as cursor, pytest.raises(NotFound):
        rotate_key(cursor, key_id)
    again, _ = create_key(database, name="till", roles=["pos"])
    assert again != key_id
    with pytest.raises(Refusal, match="already_recorded"):
        create_key(database, name="till", roles=["pos"])


def test_recognising_a_known_key_asks_nothing_of_the_database(database: Database) -> None:
    ring = KeyRing(database)
    _, plain = create_key(database, name="till", roles=["pos"])
    ring.recognise(plain)
    database.close()
    began = time.monotonic()
    assert ring.recognise(plain) is not None
    assert time.monotonic() - began < 0.1
