"""`fennel redis`: who may do what in Redis, and how a person and other programs get in."""

from __future__ import annotations

import click

from cli.stack import StackError
from config.loading import load_settings
from config.redis_users import Role, acl_lines, make_passwords, password_file


@click.group()
def redis() -> None:
    """The users of Redis: their rights and their passwords."""


@redis.command()
def url() -> None:
    """Print the URL with which RQ's own tools get in, password and all.

    For `rq info -u "$(fennel redis url)"`, or RQ_REDIS_URL and RQ_DASHBOARD_REDIS_URL in the environment, where nobody
    else on the machine sees it.
    """
    settings = load_settings()
    try:
        click.echo(settings.redis_address.url_with_password)
    except OSError as error:
        raise StackError(f"{error.filename} cannot be read: {error.strerror}") from error


@redis.command()
def acl() -> None:
    """Print the users of a Redis or Valkey server of your own, as its ACL file has them.

    Makes their passwords where there are none yet; they are printed as their SHA-256 alone. Put the lines into the
    server's aclfile (or each behind ACL SETUSER), set FENNEL_REDIS__ROLES=true, and copy to another host the password
    of what runs there.
    """
    folder = load_settings().redis_users_folder
    try:
        make_passwords(folder)
        lines = acl_lines(folder)
    except OSError as error:
        raise StackError(f"{folder} cannot be used: {error.strerror or error}") from error
    for line in lines:
        click.echo(line)
    click.echo("The passwords are in " + ", ".join(str(password_file(folder, role)) for role in Role), err=True)
