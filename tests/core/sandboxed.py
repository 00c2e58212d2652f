"""What the tests of the sandbox call in it."""

import os
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path


def echo(value):
    return value


def dated():
    return f"{date(2026, 12, 1)} {Decimal('1.10')}"


def spin():
    while True:
        pass


def sleep():
    time.sleep(60)


def leave(code):
    print("good-bye", flush=True)
    os._exit(code)


def exit_by(code):
    sys.exit(code)


def eat(size):
    return len(bytearray(size))


def write(size):
    with Path("large").open("wb") as file:
        file.write(b"x" * size)


def fail(name, text):
    raise {"KeyError": KeyError, "ValueError": ValueError}[name](text)


class Trick:
    def __reduce__(self):
        return (os.getcwd, ())


def trick():
    return Trick()


def surroundings():
    return sorted(os.environ), sys.path
