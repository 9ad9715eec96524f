"""Passwords are kept as argon2id, compared in one normal form, and bounded in number."""

import asyncio

import pytest
from argon2 import Parameters
from argon2.profiles import CHEAPEST

from libs.common.errors import Unavailable
from services.gateway.access.passwords import Passwords, generated


def passwords(parameters: Parameters = CHEAPEST, *, most_waiting: int = 64) -> Passwords:
    return Passwords(parameters, most_waiting=most_waiting)


async def test_only_the_password_that_was_hashed_fits() -> None:
    ours = passwords()
    kept = await ours.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert await ours.check("correct horse", kept)
    assert not await ours.check("correct horse ", kept)
    assert not await ours.check("", kept)


async def test_composed_and_decomposed_letters_are_the_same_password() -> None:
    ours = passwords()
    assert await ours.check("cafe\u0301 1234", await ours.hash("caf\u00e9 1234"))


async def test_nothing_fits_an_account_without_password() -> None:
    assert not await passwords().check("anything", None)


@pytest.mark.parametrize("kept", ["", "plain", "$argon2id$v=19$m=8,t=1,p=1$broken", "$2b$12$abcdefghijklmnopqrstuv"])
async def test_nothing_fits_a_hash_that_is_none(kept: str) -> None:
    assert not await passwords().check("anything", kept or "x")


async def test_a_cheaper_hash_is_outdated() -> None:
    kept = await passwords().hash("correct horse")
    assert Passwords().is_outdated(kept)
    assert not passwords().is_outdated(kept)


async def test_too_many_at_once_are_refused_at_once() -> None:
    ours = passwords(most_waiting=2)
    results = await asyncio.gather(*(ours.hash("x") for _ in range(5)), return_exceptions=True)
    assert [isinstance(one, Unavailable) for one in results] == [False, False, True, True, True]
    assert await ours.check("x", await ours.hash("x"))


def test_generated_secrets_differ_and_are_long() -> None:
    made = {generated() for _ in range(100)}
    assert len(made) == 100
    assert all(len(one) >= 24 for one in made)
