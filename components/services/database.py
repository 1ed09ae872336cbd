"""A service's databases and their user, whose password changes under running services. Pure."""

from collections.abc import Iterable

PLACES = ("localhost", "%")
"""Where the user comes from, as MariaDB says it."""


def grant(user: str, databases: Iterable[str]) -> str:
    """Script that makes the databases and their user. A former password stays good beside the new one.

    Both are asked for as MariaDB takes several ways to log in (10.4 on); to an older one the former is a comment.
    """
    made = "".join(f"CREATE DATABASE IF NOT EXISTS {database};\n" for database in databases)
    return _sql(made + "".join(_user(user, place, databases) for place in PLACES))


def retire(user: str) -> str:
    """Script after which the database takes the present password alone."""
    return _sql("".join(f"ALTER USER '{user}'@'{place}' IDENTIFIED BY '{_password(user)}';\n" for place in PLACES))


def _user(user: str, place: str, databases: Iterable[str]) -> str:
    name = f"'{user}'@'{place}'"
    granted = "".join(f"GRANT ALL PRIVILEGES ON {database}.* TO {name};\n" for database in databases)
    return f"""CREATE USER IF NOT EXISTS {name} IDENTIFIED BY '{_password(user)}';
{granted}SET @present = PASSWORD('{_password(user)}');
SELECT authentication_string INTO @former FROM mysql.user WHERE User = '{user}' AND Host = '{place}';
EXECUTE IMMEDIATE IF(@former = @present, 'DO 0', CONCAT(
  "ALTER USER {name} IDENTIFIED VIA mysql_native_password USING '", @present,
  "' /*M!100400 OR mysql_native_password USING '", @former, "' */"));
"""


def _password(user: str) -> str:
    return f"${{secret[{user}_database_password]}}"


def _sql(statements: str) -> str:
    return f"sql <<SQL\n{statements}SQL\n"
