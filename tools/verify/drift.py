"""What somebody has changed by hand in what the lab set up: files, packages, grants, roles. Pure."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from components import remote
from components.cloud.clients import ADMIN, DEMO
from components.config import Config
from components.services import infrastructure, keystone
from components.services.model import FILES, GRANT, START, RenderedFile, Service
from components.topology import Node, Role
from tools.verify.model import Answers, Assignment, FileState, Finding, Grant, NodeReport, UnansweredError
from tools.verify.places import look, why

REPAIR = "make repair"
"""Where to look when something is as no start of a machine or service leaves it."""


def answering(config: Config, answers: Answers) -> Iterator[tuple[Node, NodeReport]]:
    """The nodes that said something of themselves; the others are told of by the check "node"."""
    for node in config.site.topology.nodes:
        report = answers.nodes[node.name]
        if isinstance(report, NodeReport):
            yield node, report


def _files(config: Config, answers: Answers) -> Iterator[Finding]:
    site = config.site
    for node, report in answering(config, answers):
        foundation: dict[RenderedFile, tuple[Service, ...]] = dict.fromkeys(remote.foundation(site), ())
        expected = foundation | site.files_on(node)
        faults, repairs = [], list[str]()
        for file, services in expected.items():
            if fault := _difference(state_of(config, file), report.files.get(file.path)):
                faults.append(f"{file.path} {fault}")
                repairs += [service.step(step, node) for service in services for step in (FILES, START)]
                repairs += [] if services else [f"{node.name}-login"]
        yield Finding(
            subject=node.name,
            ok=not faults,
            detail="; ".join(faults) or f"{len(expected)} as the lab wrote them",
            hint=REPAIR,
            lasts=True,
            repairs=tuple(dict.fromkeys(repairs)),
        )


def state_of(config: Config, file: RenderedFile) -> FileState:
    """A file as it stands on its machine."""
    text = config.secrets.fill(file.text)
    return FileState(
        owner=f"{file.owner}:{file.group}", mode=file.mode, sha256=hashlib.sha256(text.encode()).hexdigest()
    )


def _difference(wanted: FileState, found: FileState | None) -> str:
    if found is None:
        return "is missing"
    faults = []
    if found.sha256 != wanted.sha256:
        faults.append("was changed")
    if found.owner != wanted.owner:
        faults.append(f"belongs to {found.owner}, not {wanted.owner}")
    if found.mode != wanted.mode:
        faults.append(f"has mode {found.mode}, not {wanted.mode}")
    return ", ".join(faults)


def _packages(config: Config, answers: Answers) -> Iterator[Finding]:
    for node, report in answering(config, answers):
        absent, wanted = report.absent, config.site.packages(node)
        yield Finding(
            subject=node.name,
            ok=not absent,
            detail=f"not installed: {', '.join(absent)}" if absent else f"{len(wanted)} installed",
            hint=REPAIR,
            lasts=True,
            repairs=(f"{node.name}-packages", *_touched(config, node, absent)),
        )


def _touched(config: Config, node: Node, absent: Iterable[str]) -> Iterator[str]:
    """The steps of the services on a node that some packages belong to: their files may have gone as well."""
    for service in config.site.services(node):
        if set(absent) & set(config.site.packaging(service).packages):
            yield from (service.step(step, node) for step in (FILES, START))


def _grants(config: Config, answers: Answers) -> Iterator[Finding]:
    site, found = config.site, answers.grants
    hint = look(site, infrastructure.MARIADB, site.topology.having(Role.DATABASE))
    if isinstance(found, UnansweredError):
        yield Finding(subject="databases", ok=False, detail=str(found), hint=hint)
        return
    for service in site.catalogue:
        if not service.databases or not service.nodes(site.topology):
            continue
        wanted = [
            Grant(service.name, place, database) for database in service.databases for place in ("localhost", "%")
        ]
        lost = [f"{each.user}@{each.place} on {each.database}" for each in wanted if each not in found]
        yield Finding(
            subject=service.name,
            ok=not lost,
            detail=f"lost: {', '.join(lost)}" if lost else f"all on {', '.join(service.databases)}",
            hint=REPAIR,
            lasts=True,
            repairs=(service.step(GRANT),),
        )


def _roles(config: Config, answers: Answers) -> Iterator[Finding]:
    site, found = config.site, answers.assignments
    if isinstance(found, UnansweredError):
        hint = look(site, keystone.KEYSTONE, keystone.KEYSTONE.nodes(site.topology))
        yield Finding(subject="keystone", ok=False, detail=why(answers, found, "roles"), hint=hint)
        return
    wanted = {
        Assignment(ADMIN.username, "admin", ADMIN.project): keystone.KEYSTONE.step("bootstrap"),
        **{
            Assignment(DEMO.username, role, DEMO.project): f"{DEMO.username}-{role}"
            for role in ("myrole", *site.release.user_roles)
        },
        **{
            Assignment(service.name, role, "service"): keystone.role_step(service, role)
            for service in site.catalogue
            if service.has_user
            for role in (keystone.ADMIN_ROLE, *site.release.service_roles)
        },
    }
    for each, resource in wanted.items():
        ok = each in found
        yield Finding(
            subject=each.user,
            ok=ok,
            detail=f"{each.role} in {each.project}" if ok else f"does not have role {each.role} in {each.project}",
            hint=REPAIR,
            lasts=True,
            repairs=(resource,),
        )


CHECKS: Mapping[str, Callable[[Config, Answers], Iterable[Finding]]] = {
    "files": _files,
    "packages": _packages,
    "grants": _grants,
    "roles": _roles,
}
