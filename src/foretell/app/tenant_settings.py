"""A tenant's settings: told field by field, kept with their history, in force as of any moment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from foretell.app.opening import a_zone
from foretell.app.requests import writable
from foretell.errors import InvalidRequest, Misconfigured, NotFound, Refused
from foretell.settings import OF_TENANTS, ForetellSettings, source
from foretell.stores import decisions, records, registry

if TYPE_CHECKING:
    from foretell.app.tenancy import Tenancy
    from foretell.contract import Domain

TENANT = "tenant"  # where settings go that are of no domain
MOST = 100_000  # characters of a setting as JSON: every prediction reads them


def _zone(name: str) -> str:
    try:
        a_zone(name)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None
    return name


MAIL = re.compile(r"[^@\s,;:<>()\"\\]{1,64}@[^@\s,;:<>()\"\\]{1,189}")


def _mail(address: str) -> str:
    if not MAIL.fullmatch(address):
        raise ValueError("it is no mail address; write somebody@example.org")
    return address


def _chat(url: str) -> str:
    told = urlsplit(url)
    if told.scheme not in ("http", "https") or not told.hostname or "@" in told.netloc:
        raise ValueError("it is no URL of a chat's incoming webhook; write https://hooks.slack.com/services/…")
    return url


def check_chat(url: str) -> None:
    """Raise InvalidRequest for a chat that this installation posts into on nobody's behalf."""
    told, chats = urlsplit(url), ForetellSettings().chats.split()
    if (origin := f"{told.scheme}://{told.netloc}") not in chats:
        raise InvalidRequest(
            f"notices are posted to {', '.join(chats)} alone; who runs this server can let in more:"
            f" export FORETELL_CHATS='{' '.join([*chats, origin])}'"
        )


class TenantSettings(BaseModel):
    """What is the tenant's, and no domain's; the zone told when the tenant was added, unless another is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: Annotated[str, AfterValidator(_zone)] | None = None
    keep_predictions_days: Annotated[int, Field(ge=30, le=36_500)] = 365  # older ones are forgotten
    keep_facts_days: Mapping[str, Annotated[int, Field(ge=1, le=36_500)]] = {}  # by table; else as it declares
    notify_mail: Annotated[tuple[Annotated[str, AfterValidator(_mail)], ...], Field(max_length=20)] = ()
    notify_chat: Annotated[str, Field(max_length=2000), AfterValidator(_chat)] | None = None  # an incoming webhook


def check_defaults(domains: Iterable[Domain]) -> None:
    """Raise Misconfigured where what the environment tells as the default of a tenant's setting can't be one."""
    for domain in domains:
        told = ForetellSettings().of_tenants(domain.name)
        try:
            domain.settings.model_validate(_known(domain.settings, told))
        except ValidationError as error:
            names = {field: source(name) for field, name in OF_TENANTS[domain.name].items()}
            wrong = [(str(each["loc"][0]), each["msg"]) for each in error.errors()]
            words = "; ".join(f"{names[field]}={told[field]}: {why}" for field, why in wrong)
            line = " ".join(f"{names[field]}={domain.settings.model_fields[field].default}" for field, _ in wrong)
            raise Misconfigured(f"{words}; type: export {line}") from None


@lru_cache(maxsize=500)
def in_force(kind: type[BaseModel], domain: str, told: str) -> BaseModel:
    """A domain's settings by what `registry.look` tells, over the defaults of the environment.

    Raises Refused for what the domain no longer takes.
    """
    values = json.loads(told).get(domain, {})
    return _valid(kind, domain, values, Refused, "is no longer taken; an admin can tell another: ")


def _valid(
    kind: type[BaseModel], domain: str, values: Mapping[str, Any], wrong: type[InvalidRequest | Refused], words: str
) -> BaseModel:
    told = {field: value for field, value in values.items() if value is not None}
    known = ForetellSettings().of_tenants(domain) | told
    try:
        return kind.model_validate(_known(kind, known))
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise wrong(f"settings of {domain}: {words}{why}") from None


def _known(kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of fields that there are; one that a program no longer has is nothing to it."""
    return {field: value for field, value in values.items() if field in kind.model_fields}


_ANY = TypeAdapter[Any](Any)


def _plain(domain: str, field: str, value: Any) -> Any:
    """A value as JSON has it. Raises InvalidRequest."""
    try:
        writable(value)
        plain = _ANY.dump_python(value, mode="json")
        writable(plain)
    except (ValueError, InvalidRequest) as error:
        raise InvalidRequest(f"settings of {domain}: {field}: {error}") from None
    return plain


class Settings:
    """The verb `settings`. Every method raises NotFound for an unknown domain; `tenant` holds what is of none."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def show(self, domain: str = TENANT, *, at: datetime | None = None) -> BaseModel:
        """The settings in force at a moment, now if None; for `tenant` with the zone that was told at the beginning."""
        with self.desk.inside() as connection:
            look = registry.look(connection, self.desk.tenant, [], [], at)
        kind = self._kind(domain)
        if domain == TENANT:
            return in_force(kind, domain, look.settings).model_copy(update={"zone": self.desk.there(look)})
        return in_force(kind, domain, look.settings)

    def change(self, domain: str, values: Mapping[str, Any]) -> BaseModel:
        """Tell settings by field, from now on; returns them all. A field that is None goes back to its default.

        Objects are merged as JSON Merge Patch does (RFC 7396). Who and when is kept, and audited in the same
        transaction. Raises InvalidRequest for a field that there is not, and for a value that can't be;
        NotFound for a table that there is not.
        """
        kind = self._kind(domain)
        if unknown := [field for field in values if field not in kind.model_fields]:
            raise InvalidRequest(
                f"{domain} has no setting {unknown[0]}; there are {', '.join(kind.model_fields) or 'none'}"
            )
        if not values:
            raise InvalidRequest("there is nothing to set; give a field and its value")
        values = {field: _plain(domain, field, value) for field, value in values.items()}
        if domain == TENANT:
            for name in values.get("keep_facts_days") or {}:
                self.desk.table(name)
            if url := values.get("notify_chat"):
                check_chat(url)
        with self.desk.inside() as connection:
            decisions.alone(connection, self.desk.tenant, f"settings of {domain}")
            before = {one.field: one.value for one in decisions.changes(connection, self.desk.tenant, domain)}
            told = {field: merged(before.get(field), value) for field, value in values.items()}
            if large := [field for field, value in told.items() if len(json.dumps(value)) > MOST]:
                raise InvalidRequest(f"settings of {domain}: {large[0]} is longer than {MOST:,} characters as JSON")
            made = _valid(kind, domain, before | told, InvalidRequest, "")
            decisions.change(connection, self.desk.tenant, domain, self.desk.who, told)
            records.audit(connection, self.desk.tenant, self.desk.who, "settings", domain, told)
        return made

    def history(self, domain: str = TENANT) -> Sequence[decisions.Change]:
        """Everything that was told, oldest first: field, value, when and by whom."""
        self._kind(domain)
        with self.desk.inside() as connection:
            return decisions.changes(connection, self.desk.tenant, domain)

    def _kind(self, domain: str) -> type[BaseModel]:
        if domain == TENANT:
            return TenantSettings
        found = self.desk.domain(domain)
        if found.name != domain:
            raise NotFound(f"{domain} has no settings of its own; those of {found.name} hold for all its tasks")
        return found.settings


def merged(old: Any, new: Any) -> Any:
    """A value after a patch: RFC 7396, section 2."""
    if not isinstance(new, Mapping):
        return new
    out = dict(old) if isinstance(old, Mapping) else {}
    for name, value in new.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merged(out.get(name), value)
    return out
