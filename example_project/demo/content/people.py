"""The people of the sample company."""

from demo.content.shapes import Person

PEOPLE = (
    Person("ana", "Ana", "Torres", "Head of operations", superuser=True),
    Person("mo", "Mo", "Haddad", "Product lead"),
    Person("ben", "Ben", "Fischer", "Developer"),
    Person("vera", "Vera", "Novák", "Finance"),
    Person("omar", "Omar", "Said", "Designer and fixer"),
)
