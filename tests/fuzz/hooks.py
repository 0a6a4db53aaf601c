"""What schemathesis is told of a seeded instance (`world.json`, by seed.py), and what it tells of its calls.

FUZZ_WORLD is the world, FUZZ_WHO who asks (`operator`, `owner` or `nobody`), FUZZ_CALLS a file that gets a line for
each call: the operation and the status.
"""

import json
import os

import schemathesis

METHODS = ("get", "put", "post", "delete", "patch")
# An answer of this type does not end; tests/http/changes.rs reads it.
ENDLESS = "text/event-stream"

with open(os.environ["FUZZ_WORLD"], encoding="utf-8") as file:
    WORLD = json.load(file)
WHO = os.environ["FUZZ_WHO"]
CALLS = open(os.environ["FUZZ_CALLS"], "a", encoding="utf-8", buffering=1)
# By operation: the types of its good answers that may be asked for, and how often it was called.
FORMS, TIMES = {}, {}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Puts valid values beside what the document says of requests. What it says of answers stays as it is."""
    for path, item in raw_schema["paths"].items():
        for method in METHODS:
            if method in item:
                seed(f"{method.upper()} {path}", item[method])


def seed(label, operation):
    by_name = WORLD["parameters"]
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        values = by_name.get(f"{label} {name}", by_name.get(name))
        if values and parameter["in"] in ("path", "query"):
            parameter["examples"] = examples(values)
            parameter["schema"] = {"anyOf": [{"enum": values}, parameter["schema"]]}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if label in WORLD["bodies"]:
            content["examples"] = examples(WORLD["bodies"][label])
    good = operation["responses"].get("200", {}).get("content", {})
    FORMS[label] = [kind for kind in good if kind != ENDLESS]


def examples(values):
    return {str(at): {"value": value} for at, value in enumerate(values)}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Proves who asks, and asks for each form of an answer in its turn."""
    label = case.operation.label
    headers = dict(case.headers or {})
    forms, times = FORMS[label], TIMES.get(label, 0)
    TIMES[label] = times + 1
    if len(forms) > 1:
        headers["Accept"] = forms[times % len(forms)]
    if WHO in WORLD["tokens"]:
        headers["Authorization"] = WORLD["tokens"][WHO]
    if WHO == "owner" and label == "DELETE /v1/sessions/current" and WORLD["sessions"]:
        # One that is there to be ended: all that follows needs the other.
        headers["Authorization"] = WORLD["sessions"].pop()
    case.headers = headers


@schemathesis.hook
def after_call(context, case, response):
    print(json.dumps([case.operation.label, response.status_code]), file=CALLS)


@schemathesis.deserializer("application/did", "application/did-resolution", "application/did-url-dereferencing")
def did(context, response):
    return response.json()
