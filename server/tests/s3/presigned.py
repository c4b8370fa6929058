"""Checks presigned requests with botocore's signer.

Standard input: JSON `{access_key_id, secret_access_key, region, requests: [{method, url, headers}]}`, where `headers`
are those that the sender adds. Prints one line per request, `ok` or what differs, and fails if one differs.
"""

import json
import sys
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def expected_signature(given, request):
    """What botocore signs for this request at the time that the URL names."""
    parts = urlsplit(request["url"])
    query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
    signed = query["X-Amz-SignedHeaders"][0].split(";")
    headers = {name.lower(): value for name, value in request["headers"]}
    headers["host"] = parts.netloc
    missing = [name for name in signed if name not in headers]
    if missing:
        raise ValueError(f"signed but not sent: {missing}")

    day = query["X-Amz-Date"][0][:8]
    scope = f"{given['access_key_id']}/{day}/{given['region']}/s3/aws4_request"
    if query["X-Amz-Credential"][0] != scope:
        raise ValueError(f"scope {query['X-Amz-Credential'][0]!r}, not {scope!r}")
    bare = "&".join(p for p in parts.query.split("&") if not p.startswith("X-Amz-Signature="))
    to_sign = AWSRequest(
        method=request["method"],
        url=parts._replace(query=bare).geturl(),
        headers={name: headers[name] for name in signed},
    )
    to_sign.context["timestamp"] = query["X-Amz-Date"][0]
    credentials = Credentials(given["access_key_id"], given["secret_access_key"])
    signer = S3SigV4QueryAuth(credentials, "s3", given["region"])
    canonical = signer.canonical_request(to_sign)
    return signer.signature(signer.string_to_sign(to_sign, canonical), to_sign)


def main():
    given = json.load(sys.stdin)
    failures = 0
    for request in given["requests"]:
        found = parse_qs(urlsplit(request["url"]).query)["X-Amz-Signature"][0]
        try:
            expected = expected_signature(given, request)
            verdict = "ok" if found == expected else f"signature {found}, botocore gives {expected}"
        except (KeyError, ValueError) as error:
            verdict = f"not signed as it should be: {error}"
        failures += verdict != "ok"
        print(verdict)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
