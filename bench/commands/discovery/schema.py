"""`bench schema`: the JSON Schema of suite files, with the names that there are."""

from __future__ import annotations

import json
from typing import Any

from bench.data.catalog import card_names
from bench.method.registry import FAMILY, family, method_modules
from bench.networks.backbones.weights import PACKAGED
from bench.spec.matrix.suite import UNTIL_CONVERGED, Suite
from bench.spec.scenarios import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def suite_schema() -> dict[str, Any]:
    """JSON Schema of a suite file, for editors that read TOML by such (`#:schema suite.schema.json`).

    It accepts what `load_suite` accepts, as far as a schema can tell, and offers names of methods, datasets
    and backbones without insisting on them: files and patterns are names too.
    """
    schema = Suite.model_json_schema()
    known = sorted(method_modules())
    families = sorted({FAMILY + family(name) for name in known})
    fields, parts = schema["properties"], schema["$defs"]
    fields["methods"]["items"] = _offered([*known, *families])
    fields["baseline"] |= {"enum": known}
    fields["backbones"]["items"] = _offered(sorted(PACKAGED))
    fields["dataset"] = {**fields["dataset"], **_offered(card_names())}
    fields["dataset"].pop("type")
    table = parts["ScenarioTable"]["properties"]
    table["kind"] |= {"enum": sorted(KINDS)}
    names = {"type": "array", "items": {"type": "string"}}
    about = "targets of a kind that shows them to nobody"
    table["hold_out"] = {"anyOf": [names, {"const": "each"}], "description": about}
    steps = parts["Budget"]["properties"]["steps"]
    number = {name: steps.pop(name) for name in ("type", "minimum", "maximum")}
    steps["anyOf"] = [number, {"type": "array", "items": number, "minItems": 1}, {"const": UNTIL_CONVERGED}]
    # A file's name is the suite's.
    schema["required"] = [name for name in schema["required"] if name != "name"]
    return {"$schema": DIALECT, **schema, "title": "Suite of transfer-bench"}


def _offered(names: list[str]) -> dict[str, Any]:
    return {"anyOf": [{"enum": names}, {"type": "string"}]}


def text() -> str:
    """The schema as JSON."""
    return json.dumps(suite_schema(), indent=2, ensure_ascii=False)
