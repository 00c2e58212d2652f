"""Write messages with personal data in them, from the grammar in `forms.txt`, as JSONL.

    python examples/pii/messages.py messages.jsonl --count 1000

Each row has `message`, `fields` (the personal data, each once, in order) and `form`, the group of sentence forms that the
message was made of: groups never straddle train, dev and test, so that a score on dev is one on forms never seen.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

FIRST = [
    "Aaliyah",
    "Adam",
    "Aiko",
    "Alejandro",
    "Amara",
    "Anders",
    "Anika",
    "Bao",
    "Beatriz",
    "Boris",
    "Camille",
    "Carmen",
    "Chidi",
    "Chloe",
    "Dalia",
    "Darius",
    "Diego",
    "Dmitri",
    "Ebony",
    "Eilidh",
    "Elena",
    "Emre",
    "Esther",
    "Farid",
    "Fatima",
    "Felix",
    "Freya",
    "Gabriel",
    "Giulia",
    "Hana",
    "Harriet",
    "Hassan",
    "Ines",
    "Ingrid",
    "Ivan",
    "Jamal",
    "Joanna",
    "Jonas",
    "Kaito",
    "Kavya",
    "Keiko",
    "Kofi",
    "Lars",
    "Layla",
    "Leila",
    "Liam",
    "Lucia",
    "Malik",
    "Marta",
    "Mei",
    "Milan",
    "Mohammed",
    "Nadia",
    "Naomi",
    "Nikolai",
    "Noor",
    "Olga",
    "Omar",
    "Oscar",
    "Pablo",
    "Petra",
    "Priya",
    "Quentin",
    "Rafael",
    "Ravi",
    "Rosa",
    "Ruth",
    "Sanjay",
    "Selma",
    "Sofia",
    "Stefan",
    "Tariq",
    "Theo",
    "Tomas",
    "Uma",
    "Vera",
    "Victor",
    "Wanda",
    "Xiomara",
    "Yara",
    "Yusuf",
    "Zara",
    "Zoltan",
]
LAST = [
    "Abara",
    "Adeyemi",
    "Almeida",
    "Andersson",
    "Bakker",
    "Banerjee",
    "Bauer",
    "Becker",
    "Bianchi",
    "Blomqvist",
    "Castillo",
    "Cerny",
    "Chaudhry",
    "Cohen",
    "Costa",
    "Dahl",
    "Delgado",
    "Diallo",
    "Dubois",
    "Eriksen",
    "Farouk",
    "Fernandez",
    "Fischer",
    "Fontaine",
    "Garcia",
    "Gruber",
    "Haddad",
    "Hansen",
    "Horvat",
    "Hughes",
    "Ibrahim",
    "Ito",
    "Ivanova",
    "Jansen",
    "Jensen",
    "Kaplan",
    "Kimura",
    "Kowalski",
    "Kruger",
    "Larsen",
    "Lefevre",
    "Lindgren",
    "Lopez",
    "Macdonald",
    "Mahmoud",
    "Marino",
    "Mbeki",
    "Mendes",
    "Moreau",
    "Nakamura",
    "Nguyen",
    "Novak",
    "Okafor",
    "Olsen",
    "Ortega",
    "Osei",
    "Park",
    "Patel",
    "Pereira",
    "Petrov",
    "Quixley",
    "Ramos",
    "Rossi",
    "Sato",
    "Schmidt",
    "Silva",
    "Singh",
    "Sokolov",
    "Suzuki",
    "Tanaka",
    "Thorne",
    "Torres",
    "Ueda",
    "Varga",
    "Vasquez",
    "Weber",
    "Wong",
    "Yamada",
    "Yilmaz",
    "Zhou",
]
JOBS = """accountant|architect|baker|bank clerk|barista|biologist|bookkeeper|carpenter|chemist|civil engineer|data analyst|dentist|editor|electrician|
event manager|fashion designer|firefighter|flight attendant|gardener|graphic designer|head nurse|hotel manager|interpreter|journalist|lab technician|
legal adviser|librarian|lighting designer|marketing manager|mechanic|museum curator|music teacher|office manager|optician|paramedic|pharmacist|
photographer|physicist|plumber|police officer|product manager|psychologist|quality inspector|recruiter|sales director|school principal|
security guard|software developer|sound engineer|structural engineer|surgeon|surveyor|systems analyst|tax adviser|tour guide|translator|
travel agent|truck driver|veterinary nurse|warehouse manager|web developer|welder""".replace(
    "\n", ""
).split("|")
HOSTS = [
    "brightmail",
    "harbor-post",
    "mailbox",
    "oakfield",
    "northwind",
    "cedar-lane",
    "quickpost",
    "lumen",
    "tallship",
    "riverbank",
    "postbin",
    "fernhill",
]
ENDINGS = ["com", "org", "net", "io", "co.uk", "de", "info", "biz"]
ITEMS = [
    "lamp",
    "chair",
    "laptop",
    "camera",
    "guitar",
    "helmet",
    "bicycle",
    "tent",
    "kettle",
    "toaster",
    "mirror",
    "carpet",
    "sofa",
    "printer",
    "tablet",
    "speaker",
    "drill",
    "jacket",
    "blender",
    "backpack",
]
PLACES = [
    "Springfield",
    "Oslo",
    "Lyon",
    "Porto",
    "Graz",
    "Bergen",
    "Leeds",
    "Kyoto",
    "Accra",
    "Lima",
    "Quito",
    "Dakar",
    "Perth",
    "Halifax",
    "Tampere",
    "Gdansk",
    "Split",
    "Izmir",
    "Pune",
    "Busan",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def digits(rng: Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def name(rng: Random) -> str:
    first, last = rng.choice(FIRST), rng.choice(LAST)
    return rng.choice(
        [
            first,
            f"{first} {last}",
            f"{first} {last}",
            f"{first} {last}",
            f"{rng.choice(['Dr.', 'Mr.', 'Ms.'])} {last}",
        ]
    )


def email(rng: Random) -> str:
    first, last = rng.choice(FIRST).lower(), rng.choice(LAST).lower()
    user = rng.choice(
        [f"{first}.{last}", f"{first[0]}{last}", f"{first}{digits(rng, 2)}", f"{last}_{first}"]
    )
    return f"{user}@{rng.choice(HOSTS)}.{rng.choice(ENDINGS)}"


def phone(rng: Random) -> str:
    a, b, c = digits(rng, 3), digits(rng, 3), digits(rng, 4)
    return rng.choice(
        [
            f"({a}) {b}-{c}",
            f"{a}-{b}-{c}",
            f"+1 {a} {b} {c}",
            f"{a}.{b}.{c}",
            f"+44 20 {c} {digits(rng, 4)}",
            f"001-{a}-{b}-{c}",
        ]
    )


def credit_card(rng: Random) -> str:
    number = (rng.choice(["4", "5", "37", "6011"]) + digits(rng, 16))[:16]
    groups = [number[i : i + 4] for i in range(0, 16, 4)]
    return rng.choice([number, " ".join(groups), "-".join(groups)])


def ip_address(rng: Random) -> str:
    return ".".join(str(rng.randrange(1, 255)) for _ in range(4))


PERSONAL: dict[str, Callable[[Random], str]] = {
    "name": name,
    "email": email,
    "phone": phone,
    "credit_card": credit_card,
    "ip_address": ip_address,
    "job_title": lambda r: r.choice(JOBS),
}
OTHER: dict[str, Callable[[Random], str]] = {
    "item": lambda r: r.choice(ITEMS),
    "place": lambda r: r.choice(PLACES),
    "day": lambda r: r.choice(DAYS),
    "number": lambda r: str(r.randrange(3, 4000)),
}


def load_forms(path: Path) -> list[list[str]]:
    """Return the groups of sentence forms."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [group.splitlines() for group in "\n".join(lines).strip().split("\n\n")]


def message(rng: Random, forms: list[str]) -> tuple[str, list[dict[str, str]]]:
    """Return a message of one to three sentences of a group, and the personal data in it."""
    found: dict[tuple[str, str], None] = {}

    def filled(match: re.Match[str]) -> str:
        slot = match.group(1)
        if slot in OTHER:
            return OTHER[slot](rng)
        value = PERSONAL[slot](rng)
        found[(value, slot)] = None
        return value

    chosen = sorted(rng.sample(range(len(forms)), rng.randint(1, min(3, len(forms)))))
    text = " ".join(forms[index] for index in chosen)
    text = re.sub(r"\[([^\]]+)\]", lambda match: rng.choice(match.group(1).split("|")), text)
    return re.sub(r"\{(\w+)\}", filled, text), [
        {"string": value, "pii_type": slot} for value, slot in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("to", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    groups = load_forms(Path(__file__).with_name("forms.txt"))
    rng = Random(given.seed)
    seen: set[str] = set()
    with given.to.open("w", encoding="utf-8") as file:
        while len(seen) < given.count:
            index = rng.randrange(len(groups))
            text, fields = message(rng, groups[index])
            if text not in seen:
                seen.add(text)
                file.write(
                    json.dumps(
                        {"message": text, "fields": fields, "form": f"group {index + 1}"},
                        ensure_ascii=False,
                    )
                    + "\n"
                )


if __name__ == "__main__":
    main()
