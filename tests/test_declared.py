"""A domain of somebody else that can't be imported: every command says so in a line, the doctor looks on."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.plugged import plugged

from foretell.app.declared import domains, found_domains
from foretell.cli import cli
from foretell.errors import Misconfigured, Spot

FAULTS = {
    "needs": ("import json\n\nimport not_there\n", "ModuleNotFoundError: No module named 'not_there'", ":3"),
    "typed": ("name = 'typed'\nDOMAIN = (\n", "SyntaxError: '(' was never closed", ":2"),
    "bare": ("name = 'bare'\n", "AttributeError: module 'faulty_bare' has no attribute 'DOMAIN'", ""),
    "deep": ("import json\n\nDOMAIN = json.loads('{')\n", "JSONDecodeError: Expecting property name", ":3"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_that_can_not_be_imported_is_refused_in_a_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, words, line = FAULTS[name]
    (tmp_path / f"faulty_{name}.py").write_text(code)
    plugged(tmp_path, **{name: f"faulty_{name}:DOMAIN"})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Misconfigured) as refused:
        domains()
    told = str(refused.value)
    assert told.startswith(f"the domain {name} of the package plugged 1.0 can't be imported: {words}")
    assert f"({tmp_path}/faulty_{name}.py{line}); mend it, or type: pip uninstall plugged" in told
    assert "\n" not in told
    found, wrong = found_domains()
    assert wrong == [told]
    assert "traffic" in found


def test_the_doctor_says_what_can_not_be_imported_and_looks_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty.py").write_text("import not_there\n")
    plugged(tmp_path, faulty="faulty:DOMAIN")
    monkeypatch.syspath_prepend(str(tmp_path))
    home = {"FORETELL_HOME": str(tmp_path / "none")}
    done = CliRunner().invoke(cli, ["doctor"], env=home)
    assert done.exit_code == 1, done.output
    assert "database   does not run" in done.output
    assert (
        "wrong:     the domain faulty of the package plugged 1.0 can't be imported: ModuleNotFoundError" in done.output
    )
    with pytest.raises(Misconfigured, match="can't be imported"):
        CliRunner().invoke(cli, ["migrate"], env=home, catch_exceptions=False)


def test_one_that_is_no_domain_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.py").write_text("DOMAIN = 1\n")
    plugged(tmp_path, other="other:DOMAIN")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Misconfigured, match=r"foretell\.domains:other is not a Domain named 'other'"):
        domains()


def test_a_place_is_told_from_its_package_on() -> None:
    for file, package, words in (
        ("/home/helpdesk/lib/helpdesk/parts/sums.py", "helpdesk", "helpdesk/parts/sums.py:7 in total"),
        ("/srv/foretell/domains/traffic/features.py", "foretell.domains.traffic", "traffic/features.py:7 in total"),
        ("/home/me/helpdesk.py", "helpdesk", "helpdesk.py:7 in total"),
    ):
        assert Spot(file, 7, "total", package).short == words
