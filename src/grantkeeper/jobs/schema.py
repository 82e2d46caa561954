"""Whether parameters are such as a job takes, by the JSON schema that its worker announced."""

from typing import Any

from grantkeeper.errors import InvalidRequest


def check(name: str, schema: dict[str, Any], parameters: object) -> None:
    """
    Look at *parameters* of the job *name* before they are written down.

    Raises:
        InvalidRequest: They do not fit; where, and what is wanted there, without what was given.
    """
    # Only who is asked for a job reads schemas: the import takes longer than most commands.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(parameters))
    if error is None:
        return
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        # As of a misspelt one: a name is no datum, and cut all the same.
        extra = sorted(set(error.instance) - set(error.schema.get("properties", ())))
        raise InvalidRequest(f"the parameters are not those of the job {name}: it takes no {extra[0][:60]!r}")
    place = ".".join(str(part) for part in error.absolute_path) or "the object"
    wanted = f" {error.validator_value}" if error.validator in ("type", "required", "enum") else ""
    raise InvalidRequest(
        f"the parameters are not those of the job {name}: {place} breaks {error.validator}{wanted}"
    )
