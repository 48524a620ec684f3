"""Tokens: made and read; and the secrets that sign them, which can be changed without anybody being locked out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import jwt
import pytest
from click.testing import CliRunner
from tests.web.conftest import PATIENCE, Running, started, tenancy

from foretell.app.tokens import Keys, Role, Who, rotate
from foretell.cli import cli
from foretell.errors import ForetellError, InvalidRequest, Misconfigured, NotFound, Unauthorized
from foretell.settings import ForetellSettings

AYSE = Who(tenant="ngo-abc", user="ayse", role="admin")
SHORTEST = 32  # characters of a secret
ONE, OTHER = "a" * SHORTEST, "b" * SHORTEST
FILE = "token-secrets"


def given(home: Path, **told: str) -> ForetellSettings:
    """Settings that say where, whatever the environment says of secrets."""
    return ForetellSettings.model_validate({"home": home, "secret": None, "secret_before": None, **told})


def refused(keys: Keys, token: str) -> str:
    """Why a token is not believed."""
    with pytest.raises(Unauthorized) as why:
        keys.read(token)
    return str(why.value)


@pytest.mark.parametrize("role", get_args(Role))
def test_a_token_says_who_it_was_made_for(tmp_path: Path, role: Role) -> None:
    keys, who = Keys.of(given(tmp_path)), Who(tenant="ngo_abc-1", user="Ayşe Y.", role=role)
    assert keys.read(keys.issue(who, days=1)) == who


def test_a_token_is_a_jwt_with_the_claims_of_the_docs_and_no_others(tmp_path: Path) -> None:
    token = Keys.of(given(tmp_path)).issue(AYSE, days=30)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"sub", "tenant", "role", "iss", "aud", "iat", "exp"}
    assert (claims["sub"], claims["tenant"], claims["role"]) == ("ayse", "ngo-abc", "admin")
    assert (claims["iss"], claims["aud"]) == ("foretell", "foretell")
    assert claims["exp"] - claims["iat"] == timedelta(days=30).total_seconds()


@pytest.mark.parametrize("days", [0, -1, 3651, float("nan"), float("inf")])
def test_no_token_is_good_for_ever_nor_for_no_time(tmp_path: Path, days: float) -> None:
    with pytest.raises(InvalidRequest, match="3,650"):
        Keys.of(given(tmp_path)).issue(AYSE, days=days)


@pytest.mark.parametrize("tenant", ["", "../up", "NGO", "a\0b", "ngo abc", "x" * 64, "ngo\n"])
def test_no_token_is_made_for_what_can_not_be_a_tenant(tmp_path: Path, tenant: str) -> None:
    with pytest.raises(InvalidRequest):
        Keys.of(given(tmp_path)).issue(Who(tenant=tenant, user="ayse", role="user"), days=1)


def test_no_token_is_made_for_nobody(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="user"):
        Keys.of(given(tmp_path)).issue(Who(tenant="ngo", user=" ", role="user"), days=1)


# ---------------------------------------------------------------- the secret


def test_the_secret_is_made_at_first_need_for_its_owner_alone(tmp_path: Path) -> None:
    assert not (tmp_path / FILE).exists()
    before = os.umask(0)
    try:
        keys = Keys.of(given(tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert len(keys.secrets) == 1
    assert len(keys.secrets[0]) >= SHORTEST


def test_the_secret_is_the_same_at_the_next_start_and_another_in_another_home(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    token = Keys.of(given(tmp_path / "one")).issue(AYSE, days=1)
    assert Keys.of(given(tmp_path / "one")).read(token) == AYSE
    assert "another secret" in refused(Keys.of(given(tmp_path / "two")), token)


def test_many_that_need_the_secret_at_once_get_the_same(tmp_path: Path) -> None:
    found: list[Keys] = []
    threads = [threading.Thread(target=lambda: found.append(Keys.of(given(tmp_path)))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({tuple(keys.secrets) for keys in found}) == 1
    assert len(found) == 8


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"\xff" * 64], ids=["empty", "blank", "short", "binary"])
def test_a_file_without_a_secret_is_named_with_the_line_to_type(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Misconfigured, match=r"rm '.*token-secrets'"):
        Keys.of(given(tmp_path))


@pytest.mark.parametrize("token", ["", "a.b.c", "no token", "\xff\xfe.e30.x", "Üñï"])
def test_what_is_no_token_is_refused_in_plain_words(tmp_path: Path, token: str) -> None:
    why = refused(Keys.of(given(tmp_path)), token)
    assert why == (
        "the token is not good: it is not whole, or no token of this kind; to make one, type: foretell token"
    )


def test_rotated_once_old_tokens_are_still_good(tmp_path: Path) -> None:
    settings = given(tmp_path)
    token = Keys.of(settings).issue(AYSE, days=1)
    rotate(settings)
    keys = Keys.of(settings)
    assert keys.read(token) == AYSE
    assert keys.read(keys.issue(AYSE, days=1)) == AYSE
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_rotated_twice_old_tokens_are_no_longer_good(tmp_path: Path) -> None:
    settings = given(tmp_path)
    first = Keys.of(settings).issue(AYSE, days=1)
    rotate(settings)
    second = Keys.of(settings).issue(AYSE, days=1)
    rotate(settings)
    assert Keys.of(settings).read(second) == AYSE
    assert "another secret" in refused(Keys.of(settings), first)


def test_a_server_that_has_not_started_anew_does_not_know_the_new_secret(tmp_path: Path) -> None:
    settings = given(tmp_path)
    running = Keys.of(settings)
    rotate(settings)
    assert "another secret" in refused(running, Keys.of(settings).issue(AYSE, days=1))


# ---------------------------------------------------------------- given from outside


def test_with_a_database_of_ones_own_the_secret_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="export FORETELL_SECRET="):
        Keys.of(given(tmp_path, database="postgresql://foretell@db/foretell"))
    assert not (tmp_path / FILE).exists()


def test_with_a_database_and_a_secret_no_file_is_made(tmp_path: Path) -> None:
    keys = Keys.of(given(tmp_path, database="postgresql://foretell@db/foretell", secret=ONE))
    assert keys.read(keys.issue(AYSE, days=1)) == AYSE
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("told", [{"secret": ""}, {"secret": ONE[1:]}, {"secret": ONE, "secret_before": OTHER[1:]}])
def test_a_short_secret_is_refused(tmp_path: Path, told: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="32 characters"):
        Keys.of(given(tmp_path, **told))


def test_with_the_secret_before_old_tokens_are_still_good(tmp_path: Path) -> None:
    old = Keys.of(given(tmp_path, secret=ONE)).issue(AYSE, days=1)
    both = Keys.of(given(tmp_path, secret=OTHER, secret_before=ONE))
    assert both.read(old) == AYSE
    new = both.issue(AYSE, days=1)
    assert Keys.of(given(tmp_path, secret=OTHER)).read(new) == AYSE
    assert "another secret" in refused(Keys.of(given(tmp_path, secret=ONE)), new)


def test_a_secret_from_outside_is_not_rotated_here(tmp_path: Path) -> None:
    for told in ({"secret": ONE}, {"database": "postgresql://foretell@db/foretell"}):
        with pytest.raises(Misconfigured, match="FORETELL_SECRET_BEFORE"):
            rotate(given(tmp_path, **told))


def test_issuer_and_audience_are_those_of_the_settings(tmp_path: Path) -> None:
    ours = Keys.of(given(tmp_path, issuer="sadaqa", audience="ml"))
    claims = jwt.decode(ours.issue(AYSE, days=1), options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == ("sadaqa", "ml")
    assert ours.read(ours.issue(AYSE, days=1)) == AYSE
    assert "issuer" in refused(Keys.of(given(tmp_path, audience="ml")), ours.issue(AYSE, days=1)).lower()
    assert "audience" in refused(Keys.of(given(tmp_path, issuer="sadaqa")), ours.issue(AYSE, days=1)).lower()


# ---------------------------------------------------------------- on the command line


@pytest.fixture(scope="module")
def tenant(home: Path) -> Iterator[str]:
    """A tenant of which there is nothing but the name."""
    with tenancy() as made:
        yield made.tenant


def typed(*words: str) -> str:
    """What a command says; raises what it refuses."""
    done = CliRunner().invoke(cli, words)
    if isinstance(done.exception, ForetellError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_prints_a_token_and_nothing_else(tenant: str) -> None:
    said = typed("token", "--tenant", tenant, "--user", "ayse", "--role", "admin", "--days", "30")
    assert said.count("\n") == 1
    assert Keys.of(ForetellSettings()).read(said.strip()) == Who(tenant=tenant, user="ayse", role="admin")


def test_the_command_makes_users_where_no_role_is_named(tenant: str) -> None:
    token = typed("token", "--tenant", tenant, "--user", "can").strip()
    assert Keys.of(ForetellSettings()).read(token).role == "user"


def test_the_command_makes_no_token_of_an_unknown_tenant(tenant: str) -> None:
    with pytest.raises(NotFound, match="foretell tenant add ngo-nobody"):
        typed("token", "--tenant", "ngo-nobody", "--user", "ayse")


def test_the_command_knows_no_other_roles(tenant: str) -> None:
    done = CliRunner().invoke(cli, ["token", "--tenant", tenant, "--user", "ayse", "--role", "root"])
    assert done.exit_code == 2
    assert "'root' is not one of" in done.output


def test_the_command_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path))
    token = Keys.of(ForetellSettings()).issue(AYSE, days=1)
    assert "new start" in typed("rotate-secret")
    assert Keys.of(ForetellSettings()).read(token) == AYSE
    typed("rotate-secret")
    assert "another secret" in refused(Keys.of(ForetellSettings()), token)


def test_the_command_has_nothing_to_rotate_where_there_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_HOME", str(tmp_path / "not" / "there"))
    with pytest.raises(NotFound, match="foretell token"):
        typed("rotate-secret")


# ---------------------------------------------------------------- in a server


@pytest.fixture
def put_back(home: Path, tmp_path: Path) -> Iterator[None]:
    """The secrets of the home that all tests share, as they were."""
    Keys.of(ForetellSettings())
    shutil.copy2(home / FILE, tmp_path / FILE)
    yield
    shutil.copy2(tmp_path / FILE, home / FILE)


def answered(running: Running, token: str) -> int:
    with running.client(token) as client:
        return client.get("/v1").status_code


def test_after_a_rotation_and_a_new_start_old_and_new_tokens_are_good(
    tenant: str, put_back: None, tmp_path: Path
) -> None:
    who = Who(tenant=tenant, user="ayse", role="user")
    tokens = []
    for _ in range(2):
        tokens.append(Keys.of(ForetellSettings()).issue(who, days=1))
        rotate(ForetellSettings())
    tokens.append(Keys.of(ForetellSettings()).issue(who, days=1))
    with started(tmp_path / "log") as running:
        assert [answered(running, token) for token in tokens] == [401, 200, 200]


def test_a_server_with_a_bad_secret_says_so_in_a_line_and_ends(home: Path) -> None:
    command = [str(Path(sys.executable).with_name("foretell")), "serve", "--port", "1"]
    environment = os.environ | {"FORETELL_SECRET": "short"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "need 32 characters" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
