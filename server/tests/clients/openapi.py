"""Whether a hub's OpenAPI document is valid: `openapi.py http://127.0.0.1:3000`."""

import json
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

with urllib.request.urlopen(f"{sys.argv[1]}/api/openapi.json") as answer:
    document = json.load(answer)
errors = list(OpenAPIV31SpecValidator(document).iter_errors())
for error in errors:
    print(f"{'/'.join(map(str, error.absolute_path))}: {error.message}")
assert not errors and document["openapi"].startswith("3.1."), document["openapi"]
operations = sum(len(methods) for methods in document["paths"].values())
schemas = len(document["components"]["schemas"])
print(f"OpenAPI {document['openapi']}: {operations} operations, {schemas} schemas, valid")
