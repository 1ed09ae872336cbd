"""Option definitions: what oslo-config-generator says, reduced to what tells a right option from a wrong one."""

from typing import Any

from tools.template import options


def option(dest: str, **changes: Any) -> dict[str, Any]:
    """An option as the generator describes it."""
    return {
        "dest": dest,
        "name": dest,
        "type": "string value",
        "choices": [],
        "min": None,
        "max": None,
        "deprecated_for_removal": False,
        "deprecated_reason": None,
        **changes,
    }


def generated(*opts: dict[str, Any], renamed: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"options": {"DEFAULT": {"opts": list(opts)}, "empty": {"opts": []}}, "deprecated_options": renamed or {}}


def test_type_limits_and_choices_are_kept() -> None:
    workers = option("workers", type="integer value", min=1)
    flavor = option("flavor", choices=[["keystone", None], ["noauth", "for tests"]])
    assert options.condense(generated(workers, flavor)) == {
        "DEFAULT": {
            "flavor": {"type": "string value", "choices": ["keystone", "noauth"]},
            "workers": {"type": "integer value", "min": 1},
        }
    }


def test_an_option_is_known_by_the_name_it_has_in_a_file() -> None:
    assert "auth_url" in options.condense(generated(option("auth_url", name="auth-url")))["DEFAULT"]


def test_what_is_to_be_removed_says_why() -> None:
    old = option("old", deprecated_for_removal=True, deprecated_reason="Nobody uses it.")
    assert options.condense(generated(old))["DEFAULT"]["old"]["deprecated"] == "Nobody uses it."


def test_an_old_name_says_the_new_one() -> None:
    renamed = {
        "DATABASE": [{"name": "sql-connection", "replacement_group": "database", "replacement_name": "connection"}]
    }
    condensed = options.condense(generated(option("debug"), renamed=renamed))
    assert condensed["DATABASE"]["sql_connection"]["deprecated"] == "use [database] connection"
