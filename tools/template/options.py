"""Print the option definitions of every configuration file as JSON: {file: {section: {option: {type, …}}}}.

Called inside the new system, with the `options` table of the recipe as JSON on standard input; standard library only.
"""

import importlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Options = dict[str, dict[str, Any]]
"""Sections of a file, with the definition of each option."""


def condense(generated: dict[str, Any]) -> dict[str, Options]:
    """What oslo-config-generator says as JSON, reduced to what tells a right option from a wrong one."""
    sections: dict[str, Options] = {}
    for section, content in generated["options"].items():
        options = sections.setdefault(section, {})
        for option in content["opts"]:
            definition = {"type": option["type"] or "unknown value"}
            if option["choices"]:
                definition["choices"] = [choice[0] for choice in option["choices"]]
            for limit in ("min", "max"):
                if option[limit] is not None:
                    definition[limit] = option[limit]
            if option["deprecated_for_removal"]:
                definition["deprecated"] = option["deprecated_reason"] or "for removal"
            options[option["dest"]] = definition
    for section, renamed in generated["deprecated_options"].items():
        for option in renamed:
            name = option["name"].replace("-", "_")
            new = f"[{option['replacement_group']}] {option['replacement_name']}"
            sections.setdefault(section, {}).setdefault(name, {"type": "unknown value", "deprecated": f"use {new}"})
    return {section: dict(sorted(options.items())) for section, options in sorted(sections.items()) if options}


def password_options() -> Options:
    """Options of Keystone's password plugin, which a section with `auth_type` takes in at run time."""
    loader = importlib.import_module("keystoneauth1.loading").get_plugin_loader("password")
    return {option.dest: {"type": "string value"} for option in loader.get_options()}


def definitions(table: dict[str, Any], password: Options) -> dict[str, Options]:
    """Sections of one file: those of the `namespaces` that its readers register, and of `privsep`."""
    command = ["oslo-config-generator", "--format", "json"]
    for namespace in table["namespaces"]:
        command += ["--namespace", namespace]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr}")
    sections = condense(json.loads(result.stdout))
    for options in sections.values():
        if "auth_type" in options:
            options.update({name: definition for name, definition in password.items() if name not in options})
    for section in table.get("privsep", ()):
        sections[section] = sections["privsep"]
    return sections


def main() -> None:
    """Read the table, print the definitions."""
    tables: dict[str, Any] = json.load(sys.stdin)
    password = password_options()
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = pool.map(lambda table: definitions(table, password), tables.values())
        files = dict(zip(tables, found, strict=True))
    json.dump(files, sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
