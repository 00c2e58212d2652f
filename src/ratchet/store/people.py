"""People who use the page: names, roles, and hashes of passwords (Argon2id, by argon2-cffi)."""

import time
from dataclasses import dataclass
from typing import Literal, get_args

import sqlalchemy as sa

from ratchet.core.errors import UsageError
from ratchet.store.database import connect, transaction
from ratchet.store.tables import people

__all__ = ["ROLES", "Person", "Role", "add_person", "load_people", "remove_person", "verified"]

Role = Literal["viewer", "editor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
SHORTEST = 8


@dataclass(frozen=True, kw_only=True)
class Person:
    """Someone who may use the page."""

    name: str
    role: Role
    digest: str
    created_at: float

    def may(self, role: Role) -> bool:
        """Return whether the person may do what takes that role."""
        return ROLES.index(self.role) >= ROLES.index(role)


def add_person(engine: sa.Engine, name: str, password: str, role: Role) -> Person:
    """Store a person; the same name again gets the new password and role.

    Raises: UsageError if the name is empty, the role unknown, the password too short, or nobody would be left to administer.
    """
    from argon2 import PasswordHasher  # the extra 'serve'

    name = name.strip()
    if not name or role not in ROLES:
        raise UsageError(f"a person has a name, and a role: {', '.join(ROLES)}")
    if len(password) < SHORTEST:
        raise UsageError(f"a password has {SHORTEST} characters or more")
    known = load_people(engine)
    others = [one for one in known if one.name != name]
    if role != "admin" and not any(one.role == "admin" for one in others):
        raise UsageError("the first person is an admin, and one must remain")
    made = Person(name=name, role=role, digest=PasswordHasher().hash(password), created_at=time.time())  # fmt: skip
    with transaction(engine) as connection:
        connection.execute(sa.delete(people).where(people.c.name == name))
        connection.execute(sa.insert(people).values(**vars(made)))
    return made


def remove_person(engine: sa.Engine, name: str) -> None:
    """Forget a person.

    Raises: UsageError if there is none, or nobody would be left to administer.
    """
    known = load_people(engine)
    if all(one.name != name for one in known):
        raise UsageError(f"there is no person {name!r}; there are {', '.join(one.name for one in known) or 'none'}")  # fmt: skip
    others = [one for one in known if one.name != name]
    if others and not any(one.role == "admin" for one in others):
        raise UsageError(f"{name!r} is the only admin; make another one first")
    with transaction(engine) as connection:
        connection.execute(sa.delete(people).where(people.c.name == name))


def load_people(engine: sa.Engine) -> list[Person]:
    """Return all, in the order of their coming."""
    with connect(engine) as connection:
        rows = connection.execute(sa.select(people).order_by(people.c.created_at))
        return [Person(name=r.name, role=r.role, digest=r.digest, created_at=r.created_at) for r in rows]  # fmt: skip


def verified(engine: sa.Engine, name: str, password: str) -> Person | None:
    """Return the person whose name and password these are; takes as long for a name that nobody has."""
    from argon2 import PasswordHasher
    from argon2.exceptions import VerificationError

    hasher = PasswordHasher()
    person = next((one for one in load_people(engine) if one.name == name.strip()), None)
    if person is None:
        hasher.hash(password)
        return None
    try:
        hasher.verify(person.digest, password)
    except VerificationError:
        return None
    return person
