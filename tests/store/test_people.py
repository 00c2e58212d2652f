"""People: hashes, roles, and one admin at least."""

import pytest

from ratchet.core.errors import UsageError
from ratchet.store.people import add_person, load_people, remove_person, verified

pytest.importorskip("argon2")


def test_a_person_is_known_by_name_and_password(engine):
    """The password is kept as a hash; another password, and another name, are nobody."""
    add_person(engine, " ann ", "correct horse", "admin")

    (known,) = load_people(engine)
    assert (known.name, known.role) == ("ann", "admin")
    assert "correct" not in known.digest
    assert known.digest.startswith("$argon2id$")
    assert verified(engine, "ann", "correct horse") == known
    assert verified(engine, "ann", "correct horsE") is None
    assert verified(engine, "bob", "correct horse") is None


def test_roles_are_steps(engine):
    """An admin may do what an editor may, a viewer may not."""
    add_person(engine, "ann", "correct horse", "admin")
    add_person(engine, "bob", "correct horse", "editor")
    ann, bob = load_people(engine)

    assert ann.may("viewer")
    assert ann.may("editor")
    assert bob.may("editor")
    assert not bob.may("admin")


def test_an_admin_remains(engine):
    """The first is one, and the last stays one; a new password takes the old one's place."""
    with pytest.raises(UsageError, match="first person is an admin"):
        add_person(engine, "bob", "correct horse", "editor")
    add_person(engine, "ann", "correct horse", "admin")
    add_person(engine, "bob", "correct horse", "viewer")
    for wrong in (lambda: remove_person(engine, "ann"), lambda: add_person(engine, "ann", "correct horse", "viewer")):  # fmt: skip
        with pytest.raises(UsageError, match="admin"):
            wrong()
    add_person(engine, "ann", "battery staple", "admin")

    assert verified(engine, "ann", "correct horse") is None
    assert verified(engine, "ann", "battery staple")
    remove_person(engine, "bob")
    assert [one.name for one in load_people(engine)] == ["ann"]


@pytest.mark.parametrize(("name", "password", "told"), [("", "correct horse", "a name"), ("ann", "short", "8 characters")])  # fmt: skip
def test_what_is_no_person(engine, name, password, told):
    """No name, or a short password."""
    with pytest.raises(UsageError, match=told):
        add_person(engine, name, password, "admin")
