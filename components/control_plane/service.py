"""One generic component for every service: files, databases, migrations, tasks, start; all from the service's data."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol

import pulumi

from components import remote
from components.control_plane.host import PreparedHost
from components.services import database, keystone
from components.services.model import (
    EVERY_ROLE,
    FILES,
    GRANT,
    RETIRE,
    START,
    Listener,
    Migration,
    RenderedFile,
    Service,
    Site,
    When,
)
from components.topology import Node, Role

READY_SECONDS = 900


class Awaited(Protocol):
    """What others wait for."""

    def awaited_by(self, node: str) -> list[pulumi.Resource]:
        """What has to be there before a service on `node` starts."""

    def everywhere(self) -> list[pulumi.Resource]:
        """All of it."""


class ServiceOnNodes(pulumi.ComponentResource):
    """A service on all its nodes. `ready` maps each node's name to the last steps there; dependents wait for these."""

    ready: dict[str, list[pulumi.Resource]]
    outputs: dict[str, pulumi.Output[str]]
    """What a task printed, by the task's name."""

    def __init__(
        self,
        service: Service,
        site: Site,
        prepared: Mapping[str, PreparedHost],
        earlier: Mapping[str, Awaited],
        opts: pulumi.ResourceOptions,
    ) -> None:
        """`prepared` are all nodes, by name; `earlier` is what the service may wait for, by name."""
        super().__init__("lab:openstack:Service", service.name, None, opts)
        self.service = service
        self.site = site
        self.outputs = {}
        self._prepared = prepared
        hosts = {node.name: prepared[node.name] for node in service.nodes(site.topology)}
        first = next(iter(hosts))
        files = {name: site.files(service, each.host.node) for name, each in hosts.items()}
        installed = {
            name: self._run(FILES, each.host.node, each, remote.install_files(files[name]), after=[each.ready])
            for name, each in hosts.items()
        }
        before: dict[str, list[pulumi.Resource]] = {name: [resource] for name, resource in installed.items()}
        once: list[pulumi.Resource] = []
        if service.migrations:
            grant = database.grant(service.name, service.databases)
            granted = self._run(GRANT, None, self._first(Role.DATABASE), grant, after=earlier["mariadb"].everywhere())
            through_vip = earlier["keepalived"].everywhere()
            once += [
                self._run(
                    f"migrate-{migration.database}",
                    None,
                    hosts[first],
                    self._migrate(migration),
                    after=[*before[first], granted, *through_vip],
                    masks=texts(files[first]),
                )
                for migration in service.migrations
            ]
        once += self._tasks(When.BEFORE_START, hosts, files, before, once)
        started: dict[str, list[pulumi.Resource]] = {}
        for name, each in hosts.items():
            others = [earlier[other] for other in service.after if other in earlier]
            awaited = [resource for other in others for resource in other.awaited_by(name)]
            started[name] = [self._start(each, files[name], after=[*before[name], *once, *awaited])]
        beside = self._tasks(When.BESIDE_START, hosts, files, before, once)
        last = self._tasks(When.AFTER_START, hosts, files, started, [])
        self.ready = {name: [*resources, *beside, *last] for name, resources in started.items()}
        if service.migrations:
            retire = database.retire(service.name)
            self._run(RETIRE, None, self._first(Role.DATABASE), retire, after=self.everywhere())
        self.register_outputs({})

    def awaited_by(self, node: str) -> list[pulumi.Resource]:
        """What a service on `node` waits for: the same node's where this one is everywhere, else all nodes'."""
        return self.ready[node] if self.service.roles == EVERY_ROLE else self.everywhere()

    def everywhere(self) -> list[pulumi.Resource]:
        """The last steps on all nodes."""
        return [resource for steps in self.ready.values() for resource in steps]

    def _tasks(
        self,
        when: When,
        hosts: Mapping[str, PreparedHost],
        files: Mapping[str, tuple[RenderedFile, ...]],
        done: dict[str, list[pulumi.Resource]],
        once: list[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        """One phase's tasks, in order behind `done`: a node's own are added there, those run once are returned."""
        added: list[pulumi.Resource] = []
        for task in (task for task in self.service.tasks if task.when is when):
            for name in list(hosts)[:1] if task.once else hosts:
                where = self._first(task.role) if task.role else hosts[name]
                after = [step for steps in done.values() for step in steps] if task.role else done[name]
                resource = self._run(
                    task.name,
                    None if task.once else hosts[name].host.node,
                    where,
                    task.script(self.site, where.host.node),
                    after=[*after, *once, *added],
                    masks=texts(files[name]),
                    about=[each.host for each in hosts.values()] if task.role else (),
                    seconds=task.seconds,
                )
                if task.once:
                    added.append(resource)
                    self.outputs[task.name] = resource.stdout
                else:
                    done[name].append(resource)
        return added

    def _first(self, role: Role) -> PreparedHost:
        return self._prepared[self.site.topology.having(role)[0].name]

    def _migrate(self, migration: Migration) -> str:
        user = self.service.name
        password = f'"${{secret[{user}_database_password]}}"'
        return f"migrate {migration.database} {user} {password} {self.site.vip_name} {migration.command}\n"

    def _start(
        self, prepared: PreparedHost, files: tuple[RenderedFile, ...], after: Iterable[pulumi.Resource]
    ) -> pulumi.Resource:
        """Restart the units when, and only when, the digest of their files changed; then ask whether they answer."""
        packaging = self.site.packaging(self.service)
        node = prepared.host.node
        verb = packaging.verb or ("reload-or-restart" if self.service.reloads else "restart")
        reread = {file: packaging.rereads[file.path] for file in files if file.path in packaging.rereads}
        read_once = [file for file in files if file not in reread]
        lines = [f"logs=({remote.words(*packaging.logs)})", _watched(*read_once)]
        if self.service.has_user:
            lines.append(keystone.restart_after(self.site, self.service.name, READY_SECONDS))
        if self.service.check:
            lines.append(self.service.check(self.site, node))
        if packaging.prepare:
            lines.append(packaging.prepare)
        digest = fingerprint(read_once, prepared)
        first = [unit for unit in packaging.units if unit in packaging.first] or packaging.units
        last = [unit for unit in packaging.units if unit not in first]
        if last:
            lines.append(f"last=({remote.words(*last)})")
        if first:
            lines.append(remote.words("start", self.service.name, digest, verb, *first))
        for file, command in reread.items():
            marker = f"{self.service.name}-{file.path.rpartition('/')[2]}"
            lines += [_watched(file), f"{remote.words('reread', marker, fingerprint([file], prepared))} {command}"]
        if packaging.activate:
            lines.append(packaging.activate)
        answers = [self._answers(listener, node) for listener in self.service.listeners]
        lines += answers
        if last:
            lines += [remote.words("restart_last", self.service.name, digest, verb), *answers]
        if self.service.ready:
            lines.append(self.service.ready(self.site, node))
        return self._run(
            START,
            node,
            prepared,
            "\n".join(lines),
            after=after,
            masks=texts(files),
            seconds=2 * READY_SECONDS + 300,
            triggers=[fingerprint(files, prepared)],
        )

    def _answers(self, listener: Listener, node: Node) -> str:
        what = f"{self.service.name} on {node.name}, {node.address}:{listener.port}"
        if listener.speaks_http:
            check = ["answers_http", f"http://{node.address}:{listener.port}{listener.path}"]
        else:
            check = ["answers_tcp", str(node.address), str(listener.port)]
        return remote.words("wait_for", what, str(READY_SECONDS), *check)

    def _run(
        self,
        step: str,
        node: Node | None,
        prepared: PreparedHost,
        script: str,
        *,
        after: Iterable[pulumi.Resource],
        masks: Iterable[str] = (),
        triggers: Iterable[str] = (),
        about: Iterable[remote.Host] = (),
        seconds: int = 600,
    ) -> remote.Command:
        return remote.run(
            self.service.step(step, node),
            prepared.host,
            script,
            seconds=seconds,
            masks=masks,
            triggers=list(triggers),
            about=about,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )


def _watched(*files: RenderedFile) -> str:
    return f"files=({remote.words(*(file.path for file in files))})"


def texts(files: Iterable[RenderedFile]) -> list[str]:
    """The files' texts."""
    return [file.text for file in files]


def fingerprint(files: Iterable[RenderedFile], prepared: PreparedHost) -> str:
    """A digest of the files as they will stand on the machine, secrets included, that tells nothing about these."""
    known = "".join(repr(file) for file in files)
    unknown = prepared.host.secrets.fingerprint(prepared.host.secrets.values([known]))
    return hashlib.sha256((known + unknown).encode()).hexdigest()[:16]
