"""
Google's API discovery documents: what a client library builds its methods from.

Client libraries take the addresses of uploads and batches from the document. Pointed at Google's own, with
only the endpoint changed, they send those calls to Google; built from this one, every call stays here.
"""

from typing import Any

from grantkeeper.emulator.apis_table import COMMON_PARAMETERS, Api, Method


def rest_description(api: Api, root_url: str) -> dict[str, Any]:
    """
    The document of one API.

    Args:
        root_url: Where the caller reached the emulator, with a slash at the end.
    """
    root_url += api.folder
    resources: dict[str, Any] = {}
    for method in api.methods:
        methods = resources.setdefault(method.resource, {"methods": {}})["methods"]
        methods[method.name] = _method(api, method)
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": api.id,
        "name": api.name,
        "version": api.version,
        "revision": api.revision,
        "title": api.title,
        "description": api.description,
        "ownerDomain": "google.com",
        "ownerName": "Google",
        "documentationLink": api.documentation,
        "protocol": "rest",
        "rootUrl": root_url,
        "servicePath": api.service_path,
        "basePath": f"/{api.folder}{api.service_path}",
        "baseUrl": root_url + api.service_path,
        "batchPath": api.batch_path,
        "auth": {
            "oauth2": {"scopes": {scope: {"description": text} for scope, text in api.scopes.items()}},
        },
        "parameters": {parameter.name: parameter.document() for parameter in COMMON_PARAMETERS},
        "schemas": dict(api.schemas),
        "resources": resources,
    }


def directory(apis: tuple[Api, ...], root_url: str) -> dict[str, Any]:
    """The list of the APIs that are here."""
    return {
        "kind": "discovery#directoryList",
        "discoveryVersion": "v1",
        "items": [
            {
                "kind": "discovery#directoryItem",
                "id": api.id,
                "name": api.name,
                "version": api.version,
                "title": api.title,
                "description": api.description,
                "discoveryRestUrl": f"{root_url}discovery/v1/apis/{api.name}/{api.version}/rest",
                "documentationLink": api.documentation,
                "preferred": True,
            }
            for api in apis
        ],
    }


def _method(api: Api, method: Method) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": method.id,
        "path": method.path,
        "flatPath": method.path,
        "httpMethod": method.http,
        "description": method.description,
        "parameters": {parameter.name: parameter.document() for parameter in method.parameters},
        "parameterOrder": method.order,
        "scopes": list(method.scopes),
    }
    if method.request is not None:
        document["request"] = {"$ref": method.request}
    if method.response is not None:
        document["response"] = {"$ref": method.response}
    if method.download:
        document["supportsMediaDownload"] = True
        document["useMediaDownloadService"] = True
    if method.upload:
        path = f"/upload/{api.service_path}{method.path}"
        document["supportsMediaUpload"] = True
        document["mediaUpload"] = {
            "accept": ["*/*"],
            "maxSize": str(api.upload_limit),
            "protocols": {
                "simple": {"multipart": True, "path": path},
                "resumable": {"multipart": True, "path": f"/resumable{path}"},
            },
        }
    return document
