#!/usr/bin/env python3
"""Hands an alert of a SIEM in to the control listener of Portcullis as a security event.

Reads one alert as JSON in the Elastic Common Schema (https://www.elastic.co/guide/en/ecs) from the standard input, as the
actions of most SIEMs can hand it over, and prints the event that it became. An alert that comes twice is handed in once.

    PORTCULLIS_URL=https://portcullis.example.org:9000 PORTCULLIS_TOKEN=... siem-alert.py malware < alert.json
"""

import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request

ATTEMPTS = 5


def event(kind, alert):
    """The event that an alert becomes."""
    host = alert["host"]["ip"]
    return {
        "type": kind,
        "source": host[0] if isinstance(host, list) else host,
        "at": alert["@timestamp"],
        "note": alert.get("rule", {}).get("name", "an alert")[:200],
    }


def hand_in(url, token, key, body):
    """Posts an event, again where the proxy is busy or away, and returns the answer."""
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "idempotency-key": key,
    }
    request = urllib.request.Request(f"{url}/v1/events", json.dumps(body).encode(), headers)
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503 or attempt == ATTEMPTS - 1:
                sys.exit(f"Portcullis refuses the event: {error.read().decode()}")
        except OSError as error:
            if attempt == ATTEMPTS - 1:
                sys.exit(f"Portcullis cannot be reached: {error}")
        time.sleep(2**attempt)


def main():
    kind = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
    alert = json.load(sys.stdin)
    name = alert.get("event", {}).get("id") or json.dumps(alert, sort_keys=True)
    key = hashlib.sha256(name.encode()).hexdigest()
    answer = hand_in(os.environ["PORTCULLIS_URL"], os.environ["PORTCULLIS_TOKEN"], key, event(kind, alert))
    print(answer["id"])


if __name__ == "__main__":
    main()
