"""A backup altered by somebody who knows the format and has no keys."""

import hashlib
import json


def resealed(lines: list[bytes]) -> bytes:
    """The lines with sums that fit, as somebody would make who has no keys but knows the format."""
    made: list[bytes] = []
    part = hashlib.sha256()
    count = 0
    counts: dict[str, int] = {}
    name = ""
    for line in lines[:-2]:
        if line.startswith(b'{"table"'):
            name, part, count = str(json.loads(line)["table"]), hashlib.sha256(), 0
        elif line.startswith(b'{"rows"'):
            line = json.dumps({"rows": count, "sha256": part.hexdigest()}).encode() + b"\n"
            counts[name] = count
        elif line.startswith(b"["):
            part.update(line)
            count += 1
        made.append(line)
    summary = json.loads(lines[-2]) | {"rows": counts}
    made.append(json.dumps(summary).encode() + b"\n")
    whole = hashlib.sha256(b"".join(made)).hexdigest()
    made.append(json.dumps({"sha256": whole, "proof": ""}).encode() + b"\n")
    return b"".join(made)
