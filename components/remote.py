"""Commands on the lab's machines and on the operator's: the only module that imports pulumi_command or quotes shell.

A script's text stands plainly in the resource, so that a preview shows the changed line. Secrets come on standard
input and take their place on the machine. Every script is idempotent and bounded by `timeout`.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command

from components.secrets import KeyPair, Secrets
from components.services.model import RenderedFile, Site
from components.topology import Node

Command = command.remote.Command

_LIBRARY = Path(__file__).with_name("lib.sh")
LIBRARY_PATH = "/usr/local/lib/openstack-lab.sh"

DIAL_ATTEMPTS = 100
"""5 s each while a machine refuses, as under emulation it may for minutes of its boot; 8 s each where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine to run commands on: `resource` is its libvirt domain, which every command shares the fate of.

    `volumes` are its disk and the template of that. They are named besides the domain for an update that is killed:
    what the engine has to replace with one of them it notes before it begins.
    """

    node: Node
    resource: pulumi.Resource
    volumes: tuple[pulumi.Resource, ...]
    connection: command.remote.ConnectionArgs
    secrets: Secrets


def connect(node: Node, resource: pulumi.Resource, volumes: tuple[pulumi.Resource, ...], secrets: Secrets) -> Host:
    """The way to a machine: root by key, the host key known beforehand."""
    host_key = host_key_pair(node, secrets).public
    return Host(
        node=node,
        resource=resource,
        volumes=volumes,
        secrets=secrets,
        connection=command.remote.ConnectionArgs(
            host=str(node.address),
            user="root",
            private_key=pulumi.Output.secret(login_key_pair(secrets).private),
            host_key=host_key.rsplit(" ", 1)[0],
            dial_error_limit=DIAL_ATTEMPTS,
            per_dial_timeout=15,
        ),
    )


def login_key_pair(secrets: Secrets) -> KeyPair:
    """The operator's key to every machine of the lab."""
    return secrets.ssh_key("operator")


def host_key_pair(node: Node, secrets: Secrets) -> KeyPair:
    """A machine's own host key."""
    return secrets.ssh_key(node.fqdn)


def run(
    name: str,
    host: Host,
    script: str,
    *,
    seconds: int = 600,
    masks: Iterable[str] = (),
    triggers: Sequence[str] = (),
    about: Iterable[Host] = (),
    opts: pulumi.ResourceOptions,
) -> Command:
    """Run a script on a machine. `masks` are further texts whose secrets must not show when it fails.

    `about`: other machines that it looks at; when one is made anew, it runs again.
    """
    values = host.secrets.values([script, *masks])
    stdin = "".join(f"{secret}={value}\n" for secret, value in values.items())
    return Command(
        name,
        connection=host.connection,
        create=bounded(f". {LIBRARY_PATH}\n{script}", seconds),
        stdin=pulumi.Output.secret(stdin) if values else None,
        triggers=list(triggers) or None,
        logging=command.remote.Logging.NONE if values else None,
        add_previous_output_in_env=False,
        opts=_sharing_fate(host, opts, about),
    )


def foundation(site: Site) -> tuple[RenderedFile, ...]:
    """What every machine gets first: the library that all scripts use, the names of all machines, the release's own."""
    texts = {
        LIBRARY_PATH: _LIBRARY.read_text(),
        "/etc/hosts": site.topology.hosts_file(),
        **{path: text(site) for path, text in site.release.foundation.items()},
    }
    return tuple(
        RenderedFile(path=path, owner="root", group="root", mode="0644", text=text) for path, text in texts.items()
    )


def prepare(name: str, host: Host, site: Site, *, opts: pulumi.ResourceOptions) -> Command:
    """Wait until the machine can be logged in to, and lay its foundation."""
    library, *others = foundation(site)
    install = f"cat >{LIBRARY_PATH}.new <<'LIBRARY'\n{library.text}LIBRARY\nmv {LIBRARY_PATH}.new {LIBRARY_PATH}"
    return Command(
        name,
        connection=host.connection,
        create=bounded(f"set -eu\n{install}\n. {LIBRARY_PATH}\n{install_files(others)}", 300),
        add_previous_output_in_env=False,
        opts=_sharing_fate(host, opts),
    )


def install_files(files: Iterable[RenderedFile]) -> str:
    """Script that puts files in place, each atomically and with owner and mode."""
    return "".join(
        f"file {shlex.quote(file.path)} {file.owner}:{file.group} {file.mode} <<'CONTENT'\n{file.text}CONTENT\n"
        for file in files
    )


def words(*arguments: str) -> str:
    """Arguments as one line of shell, quoted where needed."""
    return shlex.join(arguments)


def bounded(script: str, seconds: int) -> str:
    """The script under `timeout`, its standard input free for secrets; what it did is on the disk when it is over.

    The engine never asks again: what a machine loses when it is switched off would stay lost.
    """
    return f"exec timeout {seconds} bash /dev/fd/3 3<<'SCRIPT'\n{script.rstrip()}\nsync\nSCRIPT\n"


def local_secret_file(name: str, path: Path, text: str, *, opts: pulumi.ResourceOptions) -> command.local.Command:
    """A file on the operator's machine that only its owner may read; removed with the resource."""
    directory, target = shlex.quote(str(path.parent)), shlex.quote(str(path))
    return command.local.Command(
        name,
        create=f"umask 077 && mkdir -p {directory} && cat >{target}.new && mv -f {target}.new {target}",
        delete=f"rm -f {target}",
        stdin=pulumi.Output.secret(text),
        logging=command.local.Logging.NONE,
        add_previous_output_in_env=False,
        opts=opts,
    )


def local_on_delete(name: str, script: str, stdin: str, *, opts: pulumi.ResourceOptions) -> command.local.Command:
    """A command in the checkout on the operator's machine that runs when the resource is deleted, and only then."""
    return command.local.Command(
        name,
        create="true",
        delete=script,
        stdin=pulumi.Output.secret(stdin),
        logging=command.local.Logging.STDERR,
        add_previous_output_in_env=False,
        opts=opts,
    )


def _sharing_fate(host: Host, opts: pulumi.ResourceOptions, about: Iterable[Host] = ()) -> pulumi.ResourceOptions:
    machines = [resource for each in (host, *about) for resource in (each.resource, *each.volumes)]
    fate = pulumi.ResourceOptions(deleted_with=host.resource, replace_with=list(dict.fromkeys(machines)))
    return pulumi.ResourceOptions.merge(opts, fate)
