#!/usr/bin/env python3
"""Deterministic people with known truth: consumers and employees, households, namesakes, movers.

usage: gen_people.py N OUT.csv [--seed 1]

Columns: id, entity, full_name, first_name, last_name, email, phone, mobile, company, website, city, country, postcode, street.
Names are made of syllables with a heavy tail; addresses are lived in by households (one surname, one landline, sometimes one
mailbox); people marry, move house and change jobs; forms lose fields, put the whole name into one of them, drop vowels, double
letters, read o for 0, keep an old address. Needs the standard library only.
"""
import argparse, bisect, csv, random

arguments = argparse.ArgumentParser()
arguments.add_argument("n", type=int)
arguments.add_argument("out")
arguments.add_argument("--seed", type=int, default=1)
arguments = arguments.parse_args()
R = random.Random(arguments.seed)
chance, pick, below = R.random, R.choice, R.randrange

HEADS = "ba be bo bra ca ce chi da de do el fa fe fi ga ge gri ha he ho ja jo ka ke ko la le lo ma me mi na ne no o pa pe ra re ro sa se sha ta te to u va ve vi wa we wi ya za".split()
MIDS = "bi da di la li lo ma mi na ni no ra ri ro sa si ta ti va ver lan den mer ton".split()
GIVEN_ENDS = "a e ia ina an el en io is on us ne ra to".split()
FAMILY_ENDS = "berg dal er feld ini ko man mann mark ov sen ski son stein ton vic wood ez ard".split()


def heavy(words, power):
    """Words with shares that fall like a power of their rank, as names do."""
    total, sums = 0.0, []
    for rank in range(len(words)):
        total += 1.0 / (rank + 3) ** power
        sums.append(total)
    return lambda: words[bisect.bisect_left(sums, chance() * total)]


def words(count, ends):
    made = set()
    while len(made) < count:
        made.add(pick(HEADS) + (pick(MIDS) if chance() < 0.6 else "") + pick(ends))
    made = sorted(made)
    R.shuffle(made)
    return made


given = heavy(words(1500, GIVEN_ENDS), 0.9)
family = heavy(words(12000, FAMILY_ENDS), 0.75)
cities = [word.title() for word in words(300, ["ville", "burg", "ham", "field", "port", "mouth"])]
city = heavy(cities, 0.8)
streets = [word.title() + " " + kind for word in words(700, FAMILY_ENDS) for kind in ("Street", "Road", "Lane")]
trades = "Bakery Motors Print Garden Optics Freight Timber Clinic Roofing Cycles Paper Glass Tools Dairy Audio".split()
FREE = ["gmail.com"] * 6 + ["outlook.com", "yahoo.com", "icloud.com", "gmx.de", "mail.com"]
digits = lambda n: "".join(pick("0123456789") for _ in range(n))


def firm():
    name = family().title() + " " + pick(trades)
    return name, name.lower().replace(" ", pick(["", "", "-"])) + pick([".com", ".net", ".example", ".io"]), city(), "0" + digits(9)


firms = [firm() for _ in range(max(10, arguments.n // 40))]


def mailbox(first, last):
    style = chance()
    if style < 0.35:
        return first + "." + last
    if style < 0.5:
        return first + last + digits(pick([2, 4]))
    if style < 0.65:
        return last + first[:1] + digits(2)
    if style < 0.8:
        return first + "_" + last
    return pick(HEADS) + pick(MIDS) + pick(trades).lower() + digits(2)  # a nickname that says nothing of the name


def person(home, last):
    first = given()
    return {"first": first, "last": last, "home": home, "free": mailbox(first, last) + "@" + pick(FREE), "mobile": "07" + digits(8),
            "firm": pick(firms) if chance() < 0.45 else None, "alias": family() if chance() < 0.03 else None}


def household():
    home = {"city": city(), "street": pick(streets), "number": str(below(1, 180)), "post": digits(5), "line": "0" + digits(9), "mail": None}
    last = family()
    home["mail"] = last + "family@" + pick(FREE) if chance() < 0.1 else None
    return [person(home, last if chance() < 0.85 else family()) for _ in range(pick([1, 1, 1, 2, 2, 3, 4]))]


def noisy(text):
    """Other slips than a keyboard's: lost vowels, doubled letters, o for 0, a cut end."""
    kind, at = chance(), below(1, max(2, len(text)))
    if kind < 0.3:
        return text[:at] + text[at:].replace(pick("aeiou"), "", 1)
    if kind < 0.6:
        return text[:at] + text[at - 1] + text[at:]
    if kind < 0.8:
        return text.replace("o", "0", 1) if chance() < 0.3 else text.replace("i", "y", 1)
    return text[: max(3, len(text) - 1 - below(2))]


def record(who):
    home, job, last = who["home"], who["firm"], who["last"]
    if who["alias"] and chance() < 0.4:
        last = who["alias"]
    if chance() < 0.04:
        home = {**home, "city": city(), "street": pick(streets), "number": str(below(1, 180)), "post": digits(5), "line": "0" + digits(9)}
    first = who["first"]
    if chance() < 0.06:
        first = noisy(first)
    if chance() < 0.06:
        last = noisy(last)
    if chance() < 0.05:
        first = first[0]
    mail = who["free"]
    if job and chance() < 0.5:
        mail = first + "." + last + "@" + job[1] if len(first) > 1 else first + last + "@" + job[1]
    elif home["mail"] and chance() < 0.3:
        mail = home["mail"]
    keep = lambda value, share: value if value and chance() < share else ""
    case = pick([str.title, str.title, str.title, str.lower, str.upper])
    full = chance() < 0.3
    names = [case(first + " " + last) if chance() < 0.7 else case(last) + ", " + case(first), "", ""] if full else ["", case(first), case(last)]
    at_work = job is not None and chance() < 0.6
    return names + [keep(mail, 0.75), keep(job[3] if at_work and chance() < 0.5 else home["line"], 0.35), keep(who["mobile"], 0.45),
                    keep(job[0] if at_work else "", 0.8), keep(job[1] if at_work else "", 0.3), keep(job[2] if at_work else home["city"], 0.7),
                    keep("United Kingdom", 0.5), keep(home["post"] if not at_work else "", 0.6),
                    keep(home["number"] + " " + home["street"] if not at_work else "", 0.5)]


rows, entity = [], 0
while len(rows) < arguments.n:
    for who in household():
        for _ in range(pick([1, 1, 1, 1, 2, 2, 3, 5])):
            rows.append([entity] + record(who))
        entity += 1
rows = rows[: arguments.n]
R.shuffle(rows)
with open(arguments.out, "w", newline="", encoding="utf-8") as out:
    writer = csv.writer(out)
    writer.writerow("id entity full_name first_name last_name email phone mobile company website city country postcode street".split())
    writer.writerows([number] + row for number, row in enumerate(rows))
print(f"records={len(rows)} entities={entity}")
