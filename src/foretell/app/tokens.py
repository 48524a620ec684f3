"""Who asks: tokens are made and read here. Tenant and role come from a token alone."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

import jwt

from foretell.errors import InvalidRequest, Misconfigured, Unauthorized
from foretell.settings import ForetellSettings, source
from foretell.stores import launcher, secrets
from foretell.stores.blobs import checked

Role = Literal["admin", "user", "operator", "service"]

ALGORITHM = "HS256"
KNOWN = 10_000  # tokens whose signature is not checked a second time


@dataclass(frozen=True, kw_only=True)
class Who:
    """Whose token it is."""

    tenant: str
    user: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What tokens are signed with and must say; the first secret signs, each is believed."""

    secrets: Sequence[str]
    issuer: str
    audience: str
    _known: dict[str, tuple[Who, float]] = field(default_factory=dict, repr=False)  # tokens read, and when they end

    @classmethod
    def of(cls, settings: ForetellSettings) -> Self:
        """Those of the settings, else of the data folder. Raises Misconfigured."""
        if settings.secret is None and settings.database:
            raise Misconfigured(
                "with FORETELL_DATABASE the secret for tokens must be given, for every server the same; type: "
                'export FORETELL_SECRET="$(openssl rand -base64 48)"'
            )
        told = [each for each in (settings.secret, settings.secret_before) if each is not None]
        if any(len(each) < secrets.SHORTEST for each in told):
            raise Misconfigured(
                f"{source('secret') or 'FORETELL_SECRET'} and FORETELL_SECRET_BEFORE need {secrets.SHORTEST}"
                ' characters; type: export FORETELL_SECRET="$(openssl rand -base64 48)"'
            )
        found = told if settings.secret is not None else secrets.kept(_home(settings))
        return cls(secrets=found, issuer=settings.issuer, audience=settings.audience)

    def issue(self, who: Who, *, days: float) -> str:
        """A token that is good for so many days from now. Raises InvalidRequest for a bad name or length."""
        checked(who.tenant)
        if not who.user.strip():
            raise InvalidRequest("a token needs a user; name who it is for")
        if not 0 < days <= 3650:
            raise InvalidRequest(f"{days} days: a token is good for more than 0 and at most 3,650")
        now = datetime.now(UTC)
        claims = {
            "sub": who.user, "tenant": who.tenant, "role": who.role, "iss": self.issuer, "aud": self.audience,
            "iat": now, "exp": now + timedelta(days=days),
        }  # fmt: skip
        return jwt.encode(claims, self.secrets[0], algorithm=ALGORITHM)

    def seal(self, text: str) -> str:
        """What shows that we wrote a text."""
        return hmac.new(self.secrets[0].encode(), f"job\n{text}".encode(), hashlib.sha256).hexdigest()

    def unseal(self, text: str, seal: str) -> None:
        """Raise Unauthorized for a text that we did not write."""
        known = (replace(self, secrets=[secret]).seal(text) for secret in self.secrets)
        if not any(hmac.compare_digest(each, seal) for each in known):
            raise Unauthorized(
                f"{text}: this job is sealed with another secret; is FORETELL_SECRET the servers' own? Where it was"
                " changed twice since, start the job again"
            )

    def read(self, token: str) -> Who:
        """Whose a token is. Raises Unauthorized for one that is not good, with the reason."""
        known = self._known.get(token)
        if known is not None and time.time() < known[1]:
            return known[0]
        who, end = self._read(token)
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[token] = who, end
        return who

    def _read(self, token: str) -> tuple[Who, float]:
        why = "it is signed with another secret"
        for secret in self.secrets:
            try:
                claims = jwt.decode(
                    token, secret, algorithms=[ALGORITHM], issuer=self.issuer, audience=self.audience,
                    options={"require": ["exp", "iss", "aud", "sub"]},
                )  # fmt: skip
            except jwt.InvalidSignatureError:
                continue
            except jwt.DecodeError:  # its words are about bytes
                why = "it is not whole, or no token of this kind"
                break
            except jwt.InvalidTokenError as error:
                why = str(error)
                break
            return _who(claims), float(claims["exp"])
        raise Unauthorized(f"the token is not good: {why}; to make one, type: foretell token")


def _who(claims: dict[str, Any]) -> Who:
    user, tenant, role = (claims.get(name) for name in ("sub", "tenant", "role"))
    if not isinstance(user, str) or not user.strip():
        raise Unauthorized("the token is not good: its `sub` names nobody")
    try:
        checked(tenant if isinstance(tenant, str) else "")
    except InvalidRequest:
        raise Unauthorized("the token is not good: its `tenant` can't be the name of one") from None
    if role not in get_args(Role):
        raise Unauthorized(f"the token is not good: its `role` is none of {', '.join(get_args(Role))}")
    return Who(tenant=str(tenant), user=user, role=cast("Role", role))


def rotate(settings: ForetellSettings) -> None:
    """Sign with a new secret from now on; the one before stays good. Raises Misconfigured where it is not ours."""
    if settings.secret is not None or settings.database:
        raise Misconfigured(
            "the secret is given from outside: put a new one into FORETELL_SECRET and the one that is there now into"
            " FORETELL_SECRET_BEFORE, and start the servers anew"
        )
    secrets.rotated(_home(settings))


def _home(settings: ForetellSettings) -> Path:
    return settings.home or launcher.default_home()
