"""Words and things that the abilities are written with: names, mails, phones, cities, codes, made-up words.

Every maker takes a `random.Random` and returns a string, so one seed gives one text. Lists come from Faker's en_US
providers; about a third of all names and words are spelled out of random syllables, so that the model learns to copy a
string rather than to remember it.
"""

import string
from collections.abc import Callable
from random import Random

from faker.providers.address.en_US import Provider as Address
from faker.providers.company.en_US import Provider as Company
from faker.providers.job.en_US import Provider as Job
from faker.providers.lorem.en_US import Provider as Lorem
from faker.providers.person.en_US import Provider as Person

__all__ = [
    "KINDS",
    "MADE_UP_LABELS",
    "WORDS",
    "Maker",
    "digits",
    "made_up",
    "person",
    "some_words",
    "word",
]

Maker = Callable[[Random], str]

WORDS: list[str] = [w.lower() for w in dict.fromkeys(Lorem.word_list) if w.isalpha()]
FIRST = sorted(set(Person.first_names))
LAST = sorted(set(Person.last_names))
JOBS = sorted({j.split("(")[0].split(",")[0].strip() for j in Job.jobs})
COUNTRIES = sorted(set(Address.countries))
COLOURS = [
    "red",
    "blue",
    "green",
    "yellow",
    "purple",
    "orange",
    "black",
    "white",
    "pink",
    "brown",
    "grey",
    "silver",
    "teal",
    "violet",
]
ANIMALS = [
    "cat",
    "dog",
    "horse",
    "cow",
    "sheep",
    "goat",
    "lion",
    "tiger",
    "bear",
    "wolf",
    "fox",
    "eagle",
    "owl",
    "shark",
    "whale",
    "frog",
    "snake",
    "rabbit",
    "mouse",
    "duck",
]
FRUITS = [
    "apple",
    "pear",
    "plum",
    "peach",
    "grape",
    "lemon",
    "lime",
    "mango",
    "banana",
    "cherry",
    "melon",
    "kiwi",
    "fig",
    "berry",
    "papaya",
]
PRODUCTS = [
    "lamp",
    "chair",
    "table",
    "phone",
    "laptop",
    "camera",
    "guitar",
    "piano",
    "helmet",
    "bicycle",
    "tent",
    "kettle",
    "toaster",
    "mirror",
    "carpet",
    "sofa",
    "desk",
    "printer",
    "tablet",
    "router",
    "speaker",
    "drill",
    "hammer",
]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
PLACES = [
    "London",
    "Paris",
    "Berlin",
    "Madrid",
    "Rome",
    "Vienna",
    "Prague",
    "Warsaw",
    "Dublin",
    "Lisbon",
    "Athens",
    "Cairo",
    "Lagos",
    "Nairobi",
    "Delhi",
    "Mumbai",
    "Tokyo",
    "Osaka",
    "Seoul",
    "Beijing",
    "Shanghai",
    "Sydney",
    "Melbourne",
    "Toronto",
    "Montreal",
    "Boston",
    "Chicago",
    "Denver",
    "Dallas",
    "Houston",
    "Phoenix",
    "Seattle",
    "Austin",
    "Miami",
    "Atlanta",
    "Detroit",
    "Hamburg",
    "Munich",
    "Cologne",
    "Zurich",
    "Geneva",
    "Turin",
    "Naples",
    "Seville",
    "Bilbao",
    "Antwerp",
    "Ghent",
    "Utrecht",
    "Malmo",
    "Aarhus",
    "Helsinki",
    "Riga",
    "Tallinn",
    "Vilnius",
    "Minsk",
    "Kiev",
    "Odessa",
    "Zagreb",
    "Belgrade",
    "Ankara",
    "Tunis",
    "Rabat",
    "Harare",
    "Durban",
    "Manila",
    "Hanoi",
    "Jakarta",
    "Bangkok",
    "Lahore",
    "Karachi",
    "Kabul",
    "Tehran",
    "Baghdad",
    "Beirut",
    "Havana",
    "Bogota",
    "Caracas",
    "Santiago",
    "Cusco",
    "Brasilia",
    "Recife",
    "Cork",
    "Bristol",
    "York",
    "Bath",
    "Oxford",
    "Norwich",
    "Exeter",
    "Glasgow",
    "Dundee",
    "Cardiff",
    "Swansea",
    "Reno",
    "Tulsa",
    "Omaha",
    "Fresno",
    "Tampa",
    "Tucson",
    "Memphis",
    "Boise",
]
DOMAINS = ["com", "org", "net", "io", "co.uk", "de", "info", "biz", "edu", "us"]
ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "y",
    "z",
]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ie", "oo", "ou"]
ENDINGS = ["n", "r", "s", "t", "l", "m", "nd", "rt", "sk", "ck", "th", "x"] + [""] * 8


def digits(rng: Random, count: int) -> str:
    """Return `count` random digits."""
    return "".join(rng.choices(string.digits, k=count))


def letters(rng: Random, count: int) -> str:
    """Return `count` random lower-case letters."""
    return "".join(rng.choices(string.ascii_lowercase, k=count))


def made_up(rng: Random, syllables: int = 0) -> str:
    """Return a word that no list holds, spelled out of one to three random syllables."""
    count = syllables or rng.randint(1, 3)
    return "".join(
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(ENDINGS) for _ in range(count)
    )


def word(rng: Random) -> str:
    """Return a common English word, one time in eight a made-up one."""
    return made_up(rng) if rng.random() < 0.12 else rng.choice(WORDS)


def some_words(rng: Random, count: int) -> str:
    """Return `count` words joined by spaces."""
    return " ".join(word(rng) for _ in range(count))


def first_name(rng: Random) -> str:
    return (
        made_up(rng, rng.randint(2, 3)).capitalize() if rng.random() < 0.35 else rng.choice(FIRST)
    )


def last_name(rng: Random) -> str:
    return made_up(rng, rng.randint(2, 3)).capitalize() if rng.random() < 0.35 else rng.choice(LAST)


def person(rng: Random) -> str:
    """Return a personal name: mostly first and last, sometimes one of them, with an initial or a title."""
    shape = rng.random()
    if shape < 0.18:
        return first_name(rng)
    if shape < 0.29:
        return f"{rng.choice(['Dr.', 'Mr.', 'Ms.', 'Mrs.', 'Prof.'])} {last_name(rng)}"
    if shape < 0.34:
        return f"{first_name(rng)} {rng.choice(string.ascii_uppercase)}. {last_name(rng)}"
    return f"{first_name(rng)} {last_name(rng)}"


def email(rng: Random) -> str:
    first, last = first_name(rng).lower(), last_name(rng).lower()
    user = rng.choice(
        [
            f"{first}.{last}",
            f"{first[0]}{last}",
            f"{first}{digits(rng, 2)}",
            f"{last}_{first}",
            word(rng),
        ]
    )
    host = rng.choice([word(rng), f"{word(rng)}-{word(rng)}", f"{word(rng)}mail"])
    return f"{user}@{host}.{rng.choice(DOMAINS)}"


def phone(rng: Random) -> str:
    a, b, c = digits(rng, 3), digits(rng, 3), digits(rng, 4)
    shapes = (
        f"({a}) {b}-{c}",
        f"{a}-{b}-{c}",
        f"+1 {a} {b} {c}",
        f"{a}.{b}.{c}",
        f"+44 20 {c} {digits(rng, 4)}",
        f"001-{a}-{b}-{c}",
        f"+{digits(rng, 2)} {a} {b}{c}",
        f"0{a} {b}{digits(rng, 2)}",
        f"{a} {b} {c}",
    )
    return rng.choice(shapes)


def card(rng: Random) -> str:
    number = (rng.choice(["4", "5", "37", "6011"]) + digits(rng, 16))[:16]
    groups = [number[i : i + 4] for i in range(0, 16, 4)]
    return rng.choice([number, " ".join(groups), "-".join(groups)])


def ip_address(rng: Random) -> str:
    return ".".join(str(rng.randrange(256)) for _ in range(4))


def job(rng: Random) -> str:
    title = rng.choice(JOBS)
    return title if rng.random() < 0.5 else title.lower()


def city(rng: Random) -> str:
    """Return a place: half of them a plain name, which only the words around it tell from a person's."""
    if rng.random() < 0.3:
        return rng.choice(PLACES)
    if rng.random() < 0.3:
        return made_up(rng, rng.randint(2, 3)).capitalize()
    base = last_name(rng)
    if rng.random() < 0.5:
        return f"{rng.choice(['North', 'South', 'East', 'West', 'New', 'Port', 'Lake'])} {base}"
    return base + rng.choice(Address.city_suffixes)


def street(rng: Random) -> str:
    return f"{rng.randrange(1, 9999)} {last_name(rng)} {rng.choice(['Street', 'Road', 'Avenue', 'Lane', 'Way', 'Drive'])}"


def company(rng: Random) -> str:
    return f"{last_name(rng)} {rng.choice([*Company.company_suffixes, 'Labs', 'Bank', 'Foods', 'Systems'])}"


def date(rng: Random) -> str:
    """Return a date in one of several forms, or a day of the week."""
    if rng.random() < 0.35:
        return rng.choice(DAYS)
    day, month, year = rng.randint(1, 28), rng.randrange(12), rng.randint(1950, 2030)
    return rng.choice(
        [
            f"{year}-{month + 1:02d}-{day:02d}",
            f"{day} {MONTHS[month]} {year}",
            f"{month + 1}/{day}/{year}",
            f"{MONTHS[month]} {day}",
        ]
    )


def price(rng: Random) -> str:
    return rng.choice("$€£") + str(rng.randint(1, 900)) + rng.choice(["", "." + digits(rng, 2)])


def url(rng: Random) -> str:
    return (
        rng.choice(["https://", "http://", "www."])
        + word(rng)
        + "."
        + rng.choice(DOMAINS)
        + rng.choice(["", "/" + word(rng)])
    )


def code(rng: Random) -> str:
    return rng.choice(
        [
            f"{letters(rng, 2).upper()}-{digits(rng, 4)}",
            f"#{digits(rng, 5)}",
            f"{letters(rng, 3).upper()} {digits(rng, 3)}",
        ]
    )


def file(rng: Random) -> str:
    return f"{word(rng)}{rng.choice(['_', '-', ''])}{digits(rng, rng.randrange(3))}.{rng.choice(['pdf', 'txt', 'csv', 'png', 'doc', 'zip'])}"


KINDS: dict[str, Maker] = {
    "person": person,
    "mail": email,
    "telephone": phone,
    "card number": card,
    "host": ip_address,
    "occupation": job,
    "city": city,
    "street": street,
    "company": company,
    "date": date,
    "price": price,
    "web page": url,
    "code": code,
    "file": file,
    "time": lambda r: f"{r.randrange(24):02d}:{r.randrange(60):02d}",
    "percent": lambda r: f"{r.randrange(100)}%",
    "handle": lambda r: "@" + first_name(r).lower() + digits(r, r.randrange(3)),
    "version": lambda r: "v" + ".".join(str(r.randrange(20)) for _ in range(3)),
    "serial": lambda r: "-".join(digits(r, r.randint(2, 4)) for _ in range(r.randint(2, 4))),
    "hashtag": lambda r: "#" + word(r),
    "colour": lambda r: r.choice(COLOURS),
    "animal": lambda r: r.choice(ANIMALS),
    "fruit": lambda r: r.choice(FRUITS),
    "product": lambda r: r.choice(PRODUCTS),
    "country": lambda r: r.choice(COUNTRIES),
    "month": lambda r: r.choice(MONTHS),
    "amount": lambda r: str(r.randint(2, 9999)),
}

MADE_UP_LABELS: dict[str, tuple[str, ...]] = {
    "person": ("person", "full name", "people", "who"),
    "mail": ("mail", "email address", "e-mail"),
    "telephone": ("telephone", "phone number", "mobile"),
    "card number": ("card number", "payment card", "bank card"),
    "host": ("host", "ip", "network address"),
    "occupation": ("occupation", "job", "profession"),
}
