"""Redactions: one subject's personal data is gone for good, the log says so, and every proof keeps holding."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from libs.common.database.engine import driver
from libs.common.errors import ReeveError
from libs.common.events.envelope import Event
from libs.common.events.retention import HoldFilter
from libs.common.ids import new_id
from services.audit.commands.redactions import MOST_LIVE, redact_erased_users
from services.audit.redactor import Redactor
from services.audit.store import holds
from tests.integration.audit.archive import (
    ADMIN,
    OTHER,
    Archive,
    Built,
    arrived,
    message_of,
    platform_event,
    request_recorded,
)
from tests.integration.audit.exporting import Exporter
from tests.integration.audit.redacting import Redacting
from tests.integration.audit.test_verifier import checkpoint_of, dumped, key_of, mirrored, signed
from tests.support.audit_verdicts import first_of_each, verdict_on

NAME, ADDRESS, AGENT = "ada@example.com", "203.0.113.7", "Firefox of Ada"
CHANGED = {"changes": {"email": {"old": "ada.old@example.com", "new": NAME}}}


@pytest.fixture
def redacting(archive: Archive) -> Redacting:
    """Redactions of the archive."""
    return Redacting(archive)


def acted(**given: Any) -> Event:
    """Something that the subject did."""
    return request_recorded(origin={"user_agent": AGENT, **given.pop("origin", {})}, **given)


def done_to(**given: Any) -> Event:
    """Something that another did to the subject."""
    return request_recorded(
        actorid=OTHER, subject=f"user/{ADMIN}", type="reeve.user.updated.v1",
        origin={"username": "bob@example.com", "ip_address": "198.51.100.9"}, data={"name": "Ada Lovelace", **CHANGED},
        **given,
    )  # fmt: skip


def elsewhere() -> Event:
    """Something that does not concern the subject."""
    return request_recorded(
        actorid=OTHER, origin={"username": "bob@example.com", "ip_address": "198.51.100.9"}, subject="setting/theme"
    )


async def texts(archive: Archive) -> str:
    """All that the tables of the log hold in plain text."""
    rows = await archive.rows("SELECT entries::text AS text FROM entries ORDER BY sequence")
    return "\n".join(row["text"] for row in rows)


async def test_what_tells_of_the_subject_is_gone_and_what_others_did_stays(
    archive: Archive, redacting: Redacting
) -> None:
    setting = acted(subject="setting/theme", data={"changes": {"value": {"old": "light", "new": "dark"}}})
    own = acted(subject="session/7", data={"device": f"{AGENT} at {ADDRESS}"})
    await archive.record(setting, own, done_to(), elsewhere(), platform_event())
    outcome = await redacting.start()
    told = await redacting.carry_out()
    left = await texts(archive)
    for gone in (NAME, ADDRESS, AGENT, "Ada Lovelace", "firefox", "lovelace"):
        assert gone not in left
    shown = {one["sequence"]: one for one in (await archive.body("/logs?limit=50"))["logs"]}
    assert (shown[0]["admin_username"], shown[0]["ip_address"], shown[0]["user_agent"]) == (None, None, None)
    assert shown[0]["changes"] == {"value": {"old": "light", "new": "dark"}}
    assert shown[0]["admin_user_id"] == ADMIN
    assert shown[1]["details"] == {}
    assert (shown[2]["admin_username"], shown[2]["details"], shown[2]["changes"]) == ("bob@example.com", {}, None)
    assert [shown[place]["redactions"] for place in (3, 4)] == [None, None]
    job = await archive.body(f"/redactions/{outcome.data['redaction_id']}")
    [mark] = shown[1]["redactions"]
    assert mark == {
        "id": job["id"], "operation_id": outcome.causationid, "reason": "case 17", "at": mark["at"],
        "members": ["admin_username", "details", "ip_address", "user_agent"],
    }  # fmt: skip
    assert shown[2]["redactions"][0]["members"] == ["changes", "details"]
    assert (job["state"], job["progress"], job["entries"], job["operation_id"]) == (
        "succeeded",
        1.0,
        3,
        outcome.causationid,
    )
    announced = [event.data for event in told if event.type == "reeve.audit.redacted.v1"]
    assert [(one["paths"], one["entries"]) for one in announced] == [
        (["/admin_username", "/ip_address", "/user_agent"], [[0, 1]]), (["/changes", "/details"], [[1, 2]]),
    ]  # fmt: skip
    assert told[-1].type == "reeve.redaction.finished.v1"
    assert told[-1].data["entries"] == 3


async def test_only_the_words_that_still_stand_there_find_an_entry(archive: Archive, redacting: Redacting) -> None:
    await archive.record(acted(subject="setting/theme", data={"note": "spring sale"}), done_to())
    for word, count in ((NAME, 2), ("lovelace", 1), ("spring", 1)):
        assert len(await archive.found(f"?q={word}")) == count
    await redacting.redact()
    assert await archive.found(f"?q={NAME}") == []
    assert await archive.found("?q=lovelace") == []
    assert len(await archive.found("?q=spring")) == len(await archive.found("?q=theme")) == 1
    assert await archive.found(f"?ip_address={ADDRESS}") == []


async def test_every_proof_holds_and_an_erasure_that_nobody_announced_is_a_finding(
    archive: Archive, built: Built, redacting: Redacting, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    """An auditor's old head, a proof from before, the tiles and a dump: all hold; without its announcement it does not."""
    many = [acted(producerseq=n + 1) if n % 3 else done_to(producerseq=n + 1) for n in range(700)]
    await archive.record(*many)
    await signed(archive, built)
    kept = await checkpoint_of(archive)
    [first] = [one["id"] for one in (await archive.body("/logs?sort=created_at&limit=1"))["logs"]]
    before = (await archive.get(f"/logs/{first}/proof", permission="audit:verify")).json()

    assert (await redacting.redact())["entries"] == 700
    await signed(archive, built)

    after = (await archive.get(f"/logs/{first}/proof", permission="audit:verify")).json()
    assert (after["entry"], after["leaf_hash"]) == (before["entry"], before["leaf_hash"])
    key = await key_of(archive)
    verdict = verdict_on(await dumped(built, tmp_path), key, older=[kept])
    assert first_of_each(verdict) == {}
    assert verdict.erased > 1400
    (tmp_path / "log").mkdir()
    await mirrored(archive, tmp_path / "log")
    assert first_of_each(verdict_on(tmp_path / "log", key, older=[kept])) == {}
    body = (await archive.get("/log/verification", permission="audit:verify")).json()
    assert (body["holds"], body["first_bad"]) == (True, None)

    await owner.execute("UPDATE log_openings SET seed = NULL, salts = '{}' WHERE sequence = 701")
    assert first_of_each(verdict_on(await dumped(built, tmp_path), key)) == {16: 701}


async def test_a_value_put_back_in_place_of_an_erased_one_is_not_believed(
    archive: Archive, redacting: Redacting, owner: asyncpg.Connection
) -> None:
    """As superuser with triggers off: what stands there opens nothing, and what still opens must be what it was."""
    await archive.record(acted(), done_to())
    await redacting.redact()
    await archive.sequence()
    await owner.execute("ALTER TABLE entries DISABLE TRIGGER append_only")
    await owner.execute("UPDATE entries SET redactions = NULL WHERE sequence = 1")
    found = (await archive.get("/log/verification", permission="audit:verify")).json()
    assert found["first_bad"] == {"sequence": 1, "problem": "commitment"}
    await owner.execute("UPDATE entries SET admin_username = 'eve@example.com' WHERE sequence = 0")
    found = (await archive.get("/log/verification", permission="audit:verify")).json()
    assert found["first_bad"] == {"sequence": 0, "problem": "commitment"}


async def test_a_redaction_that_has_ended_signs_for_nothing_more(
    archive: Archive, redacting: Redacting, owner: asyncpg.Connection
) -> None:
    await archive.record(acted())
    await redacting.redact()
    await archive.record(acted(), request_recorded(actorid=OTHER))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.execute(
            "UPDATE entries SET admin_username = NULL, redactions = coalesce(redactions, '[]')"
            " || jsonb_build_object('id', (SELECT id FROM redactions)) WHERE admin_username IS NOT NULL"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET admin_username = NULL",
        "UPDATE entries SET details = '{}'",
        "UPDATE entries SET redactions = '[{}]'",
        "UPDATE entries SET redactions = jsonb_build_array(jsonb_build_object('id', (SELECT id FROM redactions LIMIT 1))),"
        " admin_username = 'eve@example.com'",
        "UPDATE entries SET redactions = jsonb_build_array(jsonb_build_object('id', (SELECT id FROM redactions LIMIT 1))),"
        " action = 'nothing'",
        "UPDATE entries SET redactions = jsonb_build_array(jsonb_build_object('id', (SELECT id FROM redactions LIMIT 1))),"
        " words = words || 'eve'::tsvector",
        "UPDATE entries SET redactions = jsonb_build_array(jsonb_build_object('id', (SELECT id FROM redactions LIMIT 1))),"
        " details = '{\"forged\": true}'",
        "DELETE FROM entries",
    ],
)
async def test_nobody_changes_an_entry_beside_a_redaction(
    archive: Archive, redacting: Redacting, owner: asyncpg.Connection, statement: str
) -> None:
    """While one runs, the service may not and the owner may not."""
    await archive.record(acted())
    before = await texts(archive)
    await redacting.start()
    await Redactor(archive.database).turn()
    for refused in (archive.value, owner.execute):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await refused(statement)
    assert await texts(archive) == before


async def test_what_the_log_has_not_announced_cannot_be_erased(archive: Archive, redacting: Redacting) -> None:
    await archive.record(acted(), elsewhere())
    await redacting.start()
    redactor = Redactor(archive.database)
    await redactor.turn()
    job = await archive.value("SELECT id FROM redactions")
    asked = '[{"sequence": %d, "paths": ["%s"], "words": [], "salts": {}}]'
    attempts = ["SELECT erase_members($1, $2::jsonb)", job]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="announced"):
        await archive.value(*attempts, asked % (0, "/user_agent"))
    await redactor.turn()
    assert NAME in await texts(archive), "the announcement is still on its way"
    await redacting.deliver()
    for place, path in ((0, "/details"), (1, "/user_agent")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="announced"):
            await archive.value(*attempts, asked % (place, path))
    await redacting.carry_out()
    with pytest.raises(asyncpg.RaiseError, match="no such redaction"):
        await archive.value(*attempts, asked % (0, "/user_agent"))


async def test_doing_it_again_changes_nothing(archive: Archive, redacting: Redacting) -> None:
    await archive.record(acted(), done_to())
    outcome = await redacting.start()
    again = await redacting.start()
    assert (again.data["status"], again.data["redaction_id"]) == (200, outcome.data["redaction_id"])
    await redacting.carry_out()
    size, before = (
        redacting.delivered,
        await archive.rows("SELECT sequence, redactions FROM entries WHERE sequence < 2"),
    )
    assert (await redacting.redact())["entries"] == 0
    assert redacting.delivered == size + 1, "nothing but its end is told"
    assert await archive.rows("SELECT sequence, redactions FROM entries WHERE sequence < 2") == before


async def test_an_entry_of_two_subjects_loses_what_tells_of_each(archive: Archive, redacting: Redacting) -> None:
    await archive.record(done_to())
    await redacting.redact(subject_id=OTHER)
    [entry] = (await archive.body(f"/logs?target_id={ADMIN}"))["logs"]
    assert (entry["admin_username"], entry["details"]["name"]) == (None, "Ada Lovelace")
    await redacting.redact(reason="case 18")
    [entry] = (await archive.body(f"/logs?target_id={ADMIN}"))["logs"]
    assert entry["details"] == {}
    assert [(one["reason"], one["members"]) for one in entry["redactions"]] == [
        ("case 17", ["admin_username", "ip_address"]), ("case 18", ["changes", "details"]),
    ]  # fmt: skip
    await archive.sequence()
    assert (await archive.get("/log/verification", permission="audit:verify")).json()["holds"]


async def test_a_large_subject_is_done_in_steps_that_are_each_announced(archive: Archive, redacting: Redacting) -> None:
    for _ in range(3):
        await archive.record(*[event for _ in range(250) for event in (acted(), elsewhere())])
    await redacting.start()
    told = await redacting.carry_out()
    sizes = [len(event.data["entries"]) for event in told if event.type == "reeve.audit.redacted.v1"]
    assert sizes == [500, 250]
    assert await archive.value("SELECT max(octet_length(body)) <= 16384 FROM log_leaves")
    assert await archive.value("SELECT count(*) FROM entries WHERE redactions IS NOT NULL") == 750


async def test_workers_beside_each_other_do_it_once(archive: Archive, redacting: Redacting) -> None:
    await archive.record(*[acted() for _ in range(1200)])
    outcome = await redacting.start()
    workers = [Redactor(archive.database) for _ in range(3)]
    while await archive.value("SELECT EXISTS (SELECT FROM redactions WHERE state <> 'succeeded')"):
        await asyncio.gather(*[worker.turn() for worker in workers])
        await redacting.deliver()
    assert await archive.value("SELECT count(*) FROM entries WHERE jsonb_array_length(redactions) = 1") == 1200
    assert (await archive.body(f"/redactions/{outcome.data['redaction_id']}"))["entries"] == 1200


async def test_a_hold_refuses_the_next_one_and_stops_the_one_that_runs(archive: Archive, redacting: Redacting) -> None:
    await archive.record(acted(), elsewhere())
    async with archive.database.transaction() as session:
        await holds.place(session, name="of another", reason="a court", filters=HoldFilter(actor_id=OTHER), by=OTHER)
    outcome = await redacting.start()
    redactor = Redactor(archive.database)
    await redactor.turn()
    await redacting.deliver()
    async with archive.database.transaction() as session:
        hold = await holds.place(
            session, name="Acme ./. Ada", reason="a court", filters=HoldFilter(actor_id=ADMIN), by=OTHER
        )
    assert hold is not None
    with pytest.raises(ReeveError, match=r"Acme \./\. Ada") as refused:
        await redacting.start()
    assert (refused.value.status, refused.value.code) == (409, "legal_hold")
    await redactor.turn()
    job = await archive.body(f"/redactions/{outcome.data['redaction_id']}")
    assert (job["state"], job["held_by"]) == ("held", ["Acme ./. Ada"])
    assert not await redactor.turn(), "it rests for a minute"
    assert NAME in await texts(archive)
    async with archive.database.transaction() as session:
        await holds.lift(session, hold.id, reason="settled", by=OTHER)
        await driver(session).execute("UPDATE redactions SET next_at = now()")
    await redacting.carry_out(redactor)
    assert NAME not in await texts(archive)


async def test_files_that_hold_the_subject_are_withdrawn_and_others_stay(
    archive: Archive, built: Built, redacting: Redacting, exporter: Exporter
) -> None:
    await archive.record(acted(subject="setting/theme"), elsewhere())
    holding, _ = await exporter.exported()
    without, _ = await exporter.exported(filters={"admin_user_id": [OTHER]})
    unsure, _ = await exporter.exported(filters={"q": "theme"})
    asked = await exporter.start()
    told = (await redacting.start(), await redacting.carry_out())[1]
    states = {one["id"]: (await exporter.view(one["id"]))["state"] for one in (holding, without, unsure, asked)}
    assert [states[one["id"]] for one in (holding, without, unsure, asked)] == [
        "expired", "succeeded", "expired", "queued",
    ]  # fmt: skip
    assert (await exporter.get(f"/{holding['id']}/download")).status_code != 200
    assert {event.data["export_id"] for event in told if event.type == "reeve.export.expired.v1"} == {
        holding["id"], unsure["id"],
    }  # fmt: skip
    assert told[-1].data["exports"] == 2
    assert await exporter.worker().turn()
    content = (await exporter.get(f"/{asked['id']}/download")).content.decode()
    assert NAME not in content
    assert '"redactions":[{' in content


async def test_an_export_under_way_begins_anew_without_the_subject(
    archive: Archive, redacting: Redacting, exporter: Exporter
) -> None:
    await archive.record(acted())
    asked = await exporter.start()
    async with archive.database.transaction() as session:
        await driver(session).execute("UPDATE exports SET state = 'running', ends = 1, position = 1, file = 'x.1'")
    await redacting.redact()
    assert await exporter.worker().turn()
    content = (await exporter.get(f"/{asked['id']}/download")).content.decode()
    assert NAME not in content
    assert content.count("\n") > 1


@pytest.mark.parametrize("export_format", ["csv", "jsonl", "parquet", "ocsf"])
async def test_an_export_shows_what_was_redacted(
    archive: Archive, redacting: Redacting, exporter: Exporter, export_format: str
) -> None:
    await archive.record(acted(), done_to(), elsewhere())
    job = await redacting.redact()
    _, content = await exporter.exported(export_format)
    assert NAME.encode() not in content
    assert job["id"].encode() in content


async def test_an_erased_account_is_redacted_and_only_the_gateway_is_believed(
    archive: Archive, redacting: Redacting
) -> None:
    await archive.record(acted())
    told = request_recorded(
        type="reeve.user.erased.v1", subject=f"user/{ADMIN}", actorid=OTHER,
        data={"user_id": ADMIN, "fields": ["email"], "changes": {"email": {"old": "[redacted]"}}},
        origin={"username": "bob@example.com", "ip_address": "198.51.100.9"},
    )  # fmt: skip
    forged = arrived(told)._replace(message=message_of(told, app_id="settings"))
    async with archive.database.transaction() as session:
        await redact_erased_users(session, [forged])
    assert await archive.value("SELECT count(*) FROM redactions") == 0
    async with archive.database.transaction() as session:
        await archive.recorder.record_events(session, [arrived(told)])
        await redact_erased_users(session, [arrived(told)])
    assert not await Redactor(archive.database).turn(), "what others tell of it may still come"
    await archive.record(late := acted())
    async with archive.database.transaction() as session:
        await driver(session).execute("UPDATE redactions SET next_at = now()")
    await redacting.carry_out()
    left = await texts(archive)
    assert NAME not in left
    [erased] = (await archive.body("/logs?action=list_settings&target_type=user"))["logs"]
    assert erased["details"]["fields"] == ["email"]
    assert late.id in left
    [job] = (await archive.body("/redactions"))["redactions"]
    assert (job["reason"], job["requested_by"], job["entries"]) == ("account erased", OTHER, 2)


async def test_the_dry_run_counts_and_changes_nothing(archive: Archive) -> None:
    await archive.record(acted(), done_to(), elsewhere())
    target = f"/redactions/preview?subject_type=user&subject_id={ADMIN}"
    found = (await archive.get(target, permission="roles:write")).json()
    assert found == {
        "dry_run": True, "subject_type": "user", "subject_id": ADMIN, "entries": 2, "entries_are_exact": True,
        "held_by": [],
    }  # fmt: skip
    assert await archive.value("SELECT count(*) FROM redactions") == 0
    assert (await archive.get(target)).status_code == 401
    assert (await archive.get(f"{target}%01", permission="roles:write")).status_code == 422


async def test_a_subject_that_is_no_administrator_is_found_as_a_target(archive: Archive, redacting: Redacting) -> None:
    await archive.record(platform_event(subject="customer/7", data={"name": "Ada"}), acted(subject="user/customer"))
    assert (await redacting.redact(subject_type="customer", subject_id="7"))["entries"] == 1
    assert '"Ada"' not in await texts(archive)


async def test_they_are_listed_newest_first_and_walked_by_cursor(archive: Archive, redacting: Redacting) -> None:
    made = [(await redacting.start(subject_id=f"u{n}")).data["redaction_id"] for n in range(5)]
    walked: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await archive.body(f"/redactions?limit=2{cursor and '&cursor='}{cursor}")
        walked += [one["id"] for one in page["redactions"]]
        cursor = page["next_cursor"]
    assert walked == made[::-1]
    missing = await archive.get(f"/redactions/{new_id()}")
    assert (missing.status_code, missing.json()["detail"]["error"]) == (404, "redaction_not_found")


async def test_so_many_are_under_way_and_no_more(archive: Archive, redacting: Redacting) -> None:
    for number in range(MOST_LIVE):
        await redacting.start(subject_id=f"u{number}")
    with pytest.raises(ReeveError) as refused:
        await redacting.start(subject_id="one more")
    assert refused.value.code == "too_many_redactions"
    assert (await redacting.start(subject_id="u7")).data["status"] == 200


async def test_names_that_are_kept_beside_the_log_go_as_well(
    archive: Archive, redacting: Redacting, exporter: Exporter
) -> None:
    await archive.record(acted())
    await exporter.start()
    await redacting.redact()
    assert await archive.value("SELECT count(*) FROM exports WHERE owner_name IS NOT NULL") == 0
