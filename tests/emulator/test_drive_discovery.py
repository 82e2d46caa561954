"""The discovery documents, judged by Google's own copy of them in its Python client."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import requests

from grantkeeper.emulator.runner import EmulatorServer


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def ours(server: EmulatorServer) -> dict[str, Any]:
    """What the emulator serves for Drive."""
    url = f"{server.url}/discovery/v1/apis/drive/v3/rest"
    return requests.get(url, timeout=10).json()


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """What Google serves for Drive, as its client library keeps it."""
    return json.loads((files("googleapiclient") / "discovery_cache/documents/drive.v3.json").read_text())


def methods(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every method by its id."""
    return {
        method["id"]: method
        for resource in document["resources"].values()
        for method in resource["methods"].values()
    }


def test_it_points_at_the_emulator_and_nowhere_else(server: EmulatorServer, ours: dict[str, Any]) -> None:
    """
    The addresses that a client builds uploads and batches from.
    """
    assert server.url + "/" == ours["rootUrl"]
    assert server.url + "/drive/v3/" == ours["baseUrl"]
    assert ("drive/v3/", "batch/drive/v3") == (ours["servicePath"], ours["batchPath"])
    upload = ours["resources"]["files"]["methods"]["create"]["mediaUpload"]["protocols"]
    assert "/upload/drive/v3/files" == upload["simple"]["path"]
    assert "/resumable/upload/drive/v3/files" == upload["resumable"]["path"]


def test_every_method_is_one_of_googles(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """
    Same id, verb, path, body, answer, media; its parameters and scopes are a part of Google's.
    """
    google = methods(theirs)
    for method_id, method in methods(ours).items():
        original = google[method_id]
        for member in ("path", "httpMethod", "request", "response", "mediaUpload", "supportsMediaDownload"):
            assert original.get(member) == method.get(member), (method_id, member)
        assert set(original["scopes"]) >= set(method["scopes"]), method_id
        for name, parameter in method["parameters"].items():
            expected = original["parameters"][name]
            for member in ("type", "location", "required", "minimum", "maximum", "format", "repeated"):
                assert expected.get(member) == parameter.get(member), (method_id, name, member)


def test_a_file_has_every_member_that_googles_has(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """
    Of the same type, so that no `fields` that works at Google fails here.
    """
    for schema in ("File", "FileList", "About", "GeneratedIds"):
        expected = theirs["schemas"][schema]["properties"]
        found = ours["schemas"][schema]["properties"]
        assert expected.keys() == found.keys(), schema
        for name, member in expected.items():
            # Where Google refers to a schema that we do not fill, ours is any object.
            kinds = [each.get("type", "object") for each in (member, found[name])]
            assert kinds[0] == kinds[1], (schema, name)
            assert member.get("format") == found[name].get("format"), (schema, name)


def test_the_directory_lists_the_apis(server: EmulatorServer) -> None:
    """
    All of them, or those of one name, each with the address of its document.
    """
    url = f"{server.url}/discovery/v1/apis"
    listed = requests.get(url, timeout=10).json()

    assert {"drive:v3", "people:v1"} <= {item["id"] for item in listed["items"]}
    only = requests.get(url, params={"name": "drive"}, timeout=10).json()["items"]
    assert ["drive:v3"] == [item["id"] for item in only]
    assert 200 == requests.get(only[0]["discoveryRestUrl"], timeout=10).status_code


def test_an_unknown_api_is_not_found(server: EmulatorServer) -> None:
    """
    Also an unknown version of a known one.
    """
    for path in ("nothing/v1", "drive/v9"):
        response = requests.get(f"{server.url}/discovery/v1/apis/{path}/rest", timeout=10)
        assert 404 == response.status_code
