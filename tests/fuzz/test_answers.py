"""Whatever is sent to the live site, it answers as the OpenAPI document says.

    make fuzz                                   1,000 requests, shared out over roles and databases
    make fuzz PM_LONG_TESTS=1                   100,000
    make fuzz PM_FUZZ_CASES=300 PM_FUZZ_SEED=7  so many on each database, others than usual

The 1,000 are random; beside them go some 1,200 that try the bounds of each parameter in turn, on each database.

Findings are gathered and told together, each with the command that sends its request again. Hypothesis does not shrink
them: the site has changed by then, and a second sending of the same request is another request. The seed makes up the
same requests again; which ids they get depends on what there is.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from tests.api.test_openapi import COMMITTED
from tests.example.site import Site
from tests.fuzz.conftest import OUTSIDER
from tests.fuzz.visitors import SECONDS, Content, Visitor

schemathesis = pytest.importorskip("schemathesis", reason="needs the dependency group “fuzz”: make fuzz")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.core.failures import FailureGroup  # noqa: E402
from schemathesis.core.parameters import ParameterLocation  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LONG = os.environ.get("PM_LONG_TESTS") == "1"
CASES = int(os.environ.get("PM_FUZZ_CASES") or (50_000 if LONG else 500))  # on each database
SEED = int(os.environ.get("PM_FUZZ_SEED") or 20260101)
SHARES = {"owner": 0.6, "outsider": 0.25, "anonymous": 0.15}
LOGINS = {"owner": "mo", "outsider": OUTSIDER, "anonymous": ""}
NOBODY = {"owner": set(), "outsider": set(), "anonymous": {401}}  # said before anything else
AT_ONCE = 500  # Hypothesis remembers every case of a run, so a long one is made of many
ENOUGH = 500
REFRESH = 100
MOST_FINDINGS = 40
LOG_CHARACTERS = 4000


class Run:
    """The requests of one role and what was found."""

    def __init__(self, role: str, site: Site) -> None:
        self.role = role
        self.site = site
        self.visitor = Visitor(site.url, LOGINS[role])
        # What others must not see is what the owner sees: outsiders and the anonymous ask for that.
        self.content = Content(self.visitor if role == "owner" else Visitor(site.url, LOGINS["owner"]))
        self.operations = operations(site, credentials=role == "anonymous")
        self.sent = 0
        self.answers: Counter[int] = Counter()
        self.findings: dict[tuple[str, ...], str] = {}
        self.repeatable: dict[str, tuple[Any, str]] = {}

    def go(self, cases: int) -> None:
        """Send `cases` random requests."""
        any_case = st.one_of([random_case(operation) for operation in self.operations])
        for number in range(1, 10 + 2 * cases // AT_ONCE):
            if self.sent >= cases:
                return
            settings = hypothesis.settings(
                max_examples=min(AT_ONCE, cases - self.sent),
                phases=[Phase.generate],
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            given = hypothesis.given(case=any_case, number=st.integers(0, 2**32))
            hypothesis.seed(f"{SEED}/{self.role}/{number}")(settings(given(self.send_random)))()
        raise AssertionError(f"Only {self.sent} of {cases} requests could be made up.")

    def go_to_the_edges(self) -> None:
        """Send what lies at and just beyond each bound of each parameter and field; and methods that there are not."""
        for operation in self.operations:
            generation = operation.schema.config.generation_for(operation=operation, phase="coverage")
            cases = operation.schema.iter_coverage_cases(
                operation, generation_modes=list(GenerationMode), generation_config=generation
            )
            for case in cases:
                if case.meta.phase.data.parameter_location != ParameterLocation.HEADER:
                    case.headers.clear()  # or conditions and keys would end most requests before what they are about
                chance = random.Random(f"{SEED}/{self.sent}")  # noqa: S311
                if chance.random() < 0.5:
                    self.make_meaningful(case, chance)
                self.send(case, chance)

    def send_random(self, case: Any, number: int) -> None:
        """Send one request, after some of it was replaced by what means something here."""
        chance = random.Random(number)  # noqa: S311 -- to be had again, not to be secret
        self.make_meaningful(case, chance)
        self.send(case, chance)

    def send(self, case: Any, chance: random.Random) -> None:
        """Send one request, mostly about something that is there, and judge the answer."""
        if self.sent % REFRESH == 0:
            self.content.refresh()
        self.sent += 1
        self.aim(case, chance)
        response = case.call(session=self.visitor.session, timeout=SECONDS)
        self.answers[response.status_code] += 1
        self.content.tags += response.headers.get("etag", [])
        if self.role == "owner" and case.method == "DELETE" and response.status_code == 204:
            self.content.forget(case.path, case.path_parameters)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self.find(case, response, failure.title, str(group))
        documented = {method.upper() for method in case.operation.schema[case.path]}
        elsewise = {200} if case.method == "OPTIONS" else {405}
        if case.method not in documented and response.status_code not in elsewise | NOBODY[self.role]:
            self.find(case, response, "a method that is none")
        # Of OPTIONS, the answer tells nothing of the object.
        hidden = self.role != "owner" and case.path_parameters and case.method != "OPTIONS"
        if hidden and response.status_code < 400:
            self.find(case, response, "what must not be seen")

    def find(self, case: Any, response: Any, what: str, said: str = "") -> None:
        """Note a finding, once of each kind."""
        kind = (case.method, case.path, what, str(response.status_code))
        told = said or case.as_curl_command(headers=dict(response.request.headers))
        self.findings.setdefault(kind, f"{self.role}: {' '.join(kind)}\n{told}")

    def aim(self, case: Any, chance: random.Random) -> None:
        """Replace most ids in the path by real ones."""
        values = [str(value) for value in case.path_parameters.values()]
        # A slash, even an escaped one, makes it the address of something else, or of nothing of ours.
        elsewhere = any("/" in value or value in {"", ".", ".."} for value in values)
        if values and (elsewhere or chance.random() < 0.85):
            case.path_parameters = self.content.path_of(case.path, chance)

    def make_meaningful(self, case: Any, chance: random.Random) -> None:
        """Replace some of what else has a meaning."""
        for part in (case.query, case.headers, case.body):
            if isinstance(part, dict) or part is case.headers:
                for name in list(part):
                    word = self.content.word_for(name, chance)
                    if word is not None and chance.random() < 0.75:
                        part[name] = word
        if case.method == "POST" and chance.random() < 0.4:
            self.repeat(case, chance)

    def repeat(self, case: Any, chance: random.Random) -> None:
        """Give a POST a key; or make of it once more one that has been given a key."""
        before = self.repeatable.get(case.path)
        if before and chance.random() < 0.5:
            case.body, key = before
        else:
            key = f"key-{chance.random()}"
            self.repeatable[case.path] = case.body, key
        case.headers["Idempotency-Key"] = key

    def report(self) -> str:
        """Every finding, and how to see them again."""
        told = list(self.findings.values())[:MOST_FINDINGS]
        again = f"PM_FUZZ_SEED={SEED} PM_FUZZ_CASES={CASES}"
        log = (self.site.folder / "server.log").read_text(errors="replace")
        log = log[log.rfind("Traceback") :][:LOG_CHARACTERS] if "Traceback" in log else "nothing unusual"
        return "\n\n".join(
            [f"{len(self.findings)} findings; again with {again}", *told, f"The server said last:\n{log}"]
        )


def operations(site: Site, *, credentials: bool) -> list[Any]:
    """Every operation of the committed document, at the address of `site`; `credentials` are made up too, if wanted."""
    config = schemathesis.Config()
    schema = schemathesis.openapi.from_path(COMMITTED, config=config)
    schema.config.update(base_url=site.url)
    schema.config.output.sanitization.update(enabled=False)  # nobody's secrets: a finding shows the whole request
    schema.config.generation.update(with_security_parameters=credentials)
    return [result.ok() for result in schema.get_all_operations()]


def random_case(operation: Any) -> st.SearchStrategy[Any]:
    """Requests as the document allows them, and as it does not."""
    allowed = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    return st.one_of(allowed, allowed, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def judge(run: Run) -> None:
    """Say what was sent, for `pytest -rP`, and fail with what was found."""
    print(f"{run.role}: {run.sent} requests, answers {dict(sorted(run.answers.items()))}")  # noqa: T201
    assert not run.findings, run.report()


@pytest.mark.parametrize("role", SHARES)
def test_every_answer_is_a_documented_one(role: str, site: Site) -> None:
    run = Run(role, site)
    run.go(round(CASES * SHARES[role]))
    judge(run)
    # Requests that meet nothing find nothing. Of a few, not every answer can be expected.
    expected = {"owner": {200, 201, 204, 400, 404}, "outsider": {400, 404}, "anonymous": {401}}
    assert CASES < ENOUGH or expected[role] <= set(run.answers)


@pytest.mark.parametrize("role", SHARES if LONG else ["owner"])
def test_the_edges_of_every_parameter(role: str, site: Site) -> None:
    run = Run(role, site)
    run.go_to_the_edges()
    judge(run)
    assert run.sent > 1000
