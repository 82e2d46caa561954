"""
How an API of Google's is written down here: one table row per method.

Routes, parameter checks and the API's discovery document are all made from these rows, so the document
that a client library reads and the behaviour it meets cannot drift apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """
    A parameter of a method. `minimum` and `maximum` bound an integer, both included.

    A `repeated` one may come several times; its value is the list of all.
    """

    name: str
    description: str
    type: str = "string"
    location: str = "query"
    default: str | None = None
    required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    repeated: bool = False

    def document(self) -> dict[str, Any]:
        """This parameter in the words of a discovery document."""
        entry: dict[str, Any] = {
            "description": self.description,
            "location": self.location,
            "type": self.type,
        }
        if self.type == "integer":
            entry["format"] = "int32"
        if self.default is not None:
            entry["default"] = self.default
        if self.required:
            entry["required"] = True
        if self.repeated:
            entry["repeated"] = True
        if self.minimum is not None:
            entry["minimum"] = str(self.minimum)
        if self.maximum is not None:
            entry["maximum"] = str(self.maximum)
        return entry


@dataclass(frozen=True)
class Method:
    """
    A method. `scopes` are the full scope names any one of which opens it.

    `upload` says that content may come with the call, `download` that `alt=media` may ask for it.
    """

    id: str
    http: str
    path: str
    description: str
    scopes: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    request: str | None = None
    response: str | None = None
    upload: bool = False
    download: bool = False

    @property
    def name(self) -> str:
        """The last part of the id: `list` of `drive.files.list`."""
        return self.id.rsplit(".", 1)[-1]

    @property
    def resource(self) -> str:
        """The middle part of the id: `files` of `drive.files.list`."""
        return self.id.split(".", 1)[1].rsplit(".", 1)[0]

    @property
    def kind(self) -> str:
        """How calls are counted and faults name them: `files.list` of `drive.files.list`."""
        return f"{self.resource}.{self.name}"

    @property
    def order(self) -> list[str]:
        """The required parameters, in the order a client library may take them by position."""
        return [parameter.name for parameter in self.parameters if parameter.required]


@dataclass(frozen=True)
class Api:
    """
    An API: its name in the directory, its paths under the root, its methods and its schemas.

    `upload_limit` is the largest content in bytes, None where no method takes any. `folder` stands for the
    host that Google gives the API: it is the part of the root between the emulator's address and the paths,
    with a slash at its end.
    """

    name: str
    version: str
    title: str
    description: str
    revision: str
    service_path: str
    batch_path: str
    methods: tuple[Method, ...]
    schemas: Mapping[str, Schema]
    scopes: Mapping[str, str]
    documentation: str
    upload_limit: int | None = None
    folder: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}:{self.version}"


#: Parameters that every method of every API understands.
COMMON_PARAMETERS = (
    Parameter("alt", "The form of the answer: json, or media for the content.", default="json"),
    Parameter("fields", "The members of the answer that are wanted."),
    Parameter("access_token", "An access token, where no header can be sent."),
    Parameter("oauth_token", "An access token, under its older name."),
    Parameter("key", "An API key; the emulator asks for none."),
    Parameter("prettyPrint", "Whether the answer is indented.", type="boolean", default="true"),
    Parameter("quotaUser", "Any name that quota is counted under."),
    Parameter("uploadType", "The upload protocol: media, multipart or resumable."),
    Parameter("upload_protocol", "The upload protocol, under its newer name."),
)
