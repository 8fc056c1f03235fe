"""The words that made-up projects are told in. Nothing here knows of a database."""

from __future__ import annotations

import math

VERBS = (
    "Agree on", "Approve", "Archive", "Ask about", "Audit", "Book", "Check", "Clean up", "Collect", "Compare",
    "Confirm", "Correct", "Document", "Draft", "Explain", "Extend", "File", "Find", "Finish", "Follow up on",
    "Hand over", "Improve", "Measure", "Merge", "Order", "Plan", "Prepare", "Present", "Print", "Proofread",
    "Publish", "Renew", "Repair", "Replace", "Review", "Simplify", "Sort", "Translate", "Update", "Verify",
)  # fmt: skip

THINGS = (
    "the access list", "the address book", "the annual report", "the assembly guide", "the backup plan",
    "the boiler contract", "the booking form", "the budget", "the cable plan", "the catalogue", "the checklist",
    "the contact page", "the cost estimate", "the delivery note", "the demo room", "the door signs", "the drawings",
    "the emergency plan", "the exhibition stand", "the expense rules", "the fire drill", "the floor plan",
    "the glossary", "the guest list", "the handbook", "the help pages", "the insurance papers", "the interview notes",
    "the inventory", "the invoice template", "the job advert", "the keynote slides", "the key register",
    "the label printer", "the landing page", "the lease", "the lighting", "the loading dock", "the logo files",
    "the maintenance log", "the meeting room", "the menu", "the newsletter", "the onboarding tour", "the packing list",
    "the parking permits", "the photo archive", "the price list", "the product names", "the questionnaire",
    "the release notes", "the safety training", "the sample boxes", "the search page", "the shift schedule",
    "the spare parts", "the supplier list", "the test bench", "the travel booking", "the warranty terms",
)  # fmt: skip

OCCASIONS = (
    "after the inspection", "after the move", "after the pilot", "before the audit", "before the board meeting",
    "before the holidays", "before the launch", "before the spring fair", "for accounting", "for new colleagues",
    "for the autumn edition", "for the branch in Porto", "for the branch in Turku", "for the branch in Utrecht",
    "for the city council", "for the customer day", "for the design team", "for the field crew", "for the first floor",
    "for the help desk", "for the kitchen", "for the laboratory", "for the lawyers", "for the night shift",
    "for the open day", "for the partners", "for the press", "for the reception", "for the second quarter",
    "for the spring edition", "for the store in Graz", "for the store in Leeds", "for the summer school",
    "for the trade fair", "for the trainees", "for the volunteers", "for the warehouse", "for the web shop",
    "for the weekend team", "for the winter season", "for the workshop", "in English", "in French", "in German",
    "in Spanish", "on the intranet", "with procurement", "with the works council",
)  # fmt: skip

UNDERTAKINGS = (
    "Website relaunch", "Office move", "Annual conference", "New warehouse", "Customer portal", "Bicycle workshop",
    "Library renovation", "Energy audit", "Apprentice programme", "Product catalogue", "Harbour festival",
    "Payroll change", "Mobile app", "School garden", "Quality handbook", "Heating replacement", "Open data platform",
    "Museum night", "Supplier review", "Trade fair",
)  # fmt: skip

SETTINGS = (
    "Aarhus", "Basel", "Brno", "Cork", "Delft", "Eastside", "Ghent", "Graz", "Harbour Street", "Headquarters",
    "Leeds", "Linz", "Lyon", "Malmö", "North", "Old Town", "Porto", "Riverside", "South", "Tampere", "Turku",
    "Utrecht", "Vilnius", "Westpark", "Zadar",
)  # fmt: skip

GOALS = (
    "We want to be done before the season begins, without a late bill.",
    "Everything that was decided so far is in the handbook; what is open is here.",
    "The budget is approved. The date is not, and depends on the supplier.",
    "A small team, one meeting a week, and no surprises for the people in the shop.",
    "The last attempt failed for lack of time; this one has fewer wishes.",
)  # fmt: skip

DETAILS = (
    "The last version is from two years ago and nobody trusts it any more.",
    "Please keep it to one page; the long form can go into the appendix.",
    "Ask reception for the key, the room is locked outside office hours.",
    "Two quotes are in, the third one was promised for the end of the week.",
    "The old one still works, so there is no hurry, but it must not be forgotten.",
    "See the minutes of the last meeting for what was agreed and what was not.",
    "Half of it can be reused from last year if somebody checks the numbers.",
    "If this takes longer than a day, say so early and we will split it.",
    "The supplier needs an order number before they begin.",
    "Photos of the current state are in the shared folder.",
)  # fmt: skip

REMARKS = (
    "Done on my side, somebody please take a second look.",
    "I called them twice today, no answer. Trying again tomorrow morning.",
    "The figures do not add up: the second column counts returns twice.",
    "Could we do this after the move? It would save us a trip.",
    "Agreed in the meeting: we go with the cheaper one.",
    "Found the missing page in the archive, it is scanned now.",
    "Who has the key? It is not at reception.",
    "They can deliver on Thursday, but only before ten.",
    "I would rather wait for the answer of the insurance.",
    "Looks good to me. Thank you!",
    "The link in the description no longer works, here is the new place: shared folder, subfolder 4.",
    "This is bigger than it looked. I have written down the parts that are clear.",
    "Please mind the new template, the old one has the wrong address.",
    "Half done. The rest needs the good printer, which is back on Monday.",
)  # fmt: skip

FIRST_NAMES = (
    "Ada", "Amir", "Beatriz", "Chidi", "Dana", "Emil", "Fatou", "Goran", "Hanna", "Ines", "Jonas", "Katya", "Liam",
    "Mei", "Nuno", "Oona", "Priya", "Quentin", "Rosa", "Samir", "Tove", "Umut", "Vera", "Wiktor", "Ximena", "Yusuf",
    "Zoe",
)  # fmt: skip

LAST_NAMES = (
    "Adeyemi", "Bakker", "Castro", "Dvorak", "Eriksen", "Fontaine", "Gallo", "Haddad", "Ivanova", "Jansen", "Kowalski",
    "Lindqvist", "Moreau", "Nakamura", "Okafor", "Pereira", "Quist", "Rossi", "Schmid", "Tanaka", "Ueda", "Vasquez",
    "Weber", "Xu", "Yilmaz", "Zeman",
)  # fmt: skip

STRIDE = 999_983  # a prime that divides no product of the lengths above, so walking by it meets every phrase once


def phrase(number: int, start: int, *lists: tuple[str, ...]) -> str:
    """One word of each list, joined by blanks; a different phrase for every ``number`` from 0.

    ``start`` says where the walk through all the phrases begins. Once all have been used, a number in parentheses
    tells them apart.
    """
    total = math.prod(map(len, lists))
    place = (start + number * STRIDE) % total
    words = []
    for words_of_place in lists:
        place, index = divmod(place, len(words_of_place))
        words.append(words_of_place[index])
    again = number // total
    return " ".join(words) + (f" ({again + 1})" if again else "")


def task_title(number: int, start: int) -> str:
    """The title of the task with this number; titles of one run differ."""
    return phrase(number, start, VERBS, THINGS, OCCASIONS)


def project_name(number: int, start: int) -> str:
    """The name of the project with this number; names of one run differ."""
    return phrase(number, start, UNDERTAKINGS, SETTINGS)


def person_name(number: int) -> tuple[str, str]:
    """First and last name of the person with this number."""
    place = number * STRIDE
    return FIRST_NAMES[place % len(FIRST_NAMES)], LAST_NAMES[place // len(FIRST_NAMES) % len(LAST_NAMES)]
