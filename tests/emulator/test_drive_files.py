"""files.create, get, list, update, copy and delete, as an app meets them over HTTP."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.drive_kit import APPDATA, FILE, FULL, App, other_app, reason

FOLDER = "application/vnd.google-apps.folder"


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test has users of its own."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def app(server: EmulatorServer) -> Iterator[App]:
    app = App(server, APPDATA, FILE)
    yield app
    app.close()


class TestTheAppDataFolder:
    @pytest.mark.parametrize("alias", ["appDataFolder", "appfolder"])
    def test_is_found_by_both_its_names(self, app: App, alias: str) -> None:
        """
        The guide's Java and Python samples still call it `appfolder`.
        """
        folder = app.call("GET", f"/drive/v3/files/{alias}").json()

        assert {
            "kind": "drive#file",
            "id": folder["id"],
            "name": "Application Data",
            "mimeType": FOLDER,
        } == folder
        assert folder == app.call("GET", f"/drive/v3/files/{folder['id']}").json()

    @pytest.mark.parametrize("alias", ["appDataFolder", "appfolder"])
    def test_holds_what_is_put_there(self, app: App, alias: str) -> None:
        """
        Either alias names it as a parent, in `spaces`, and in a search.
        """
        folder = app.call("GET", "/drive/v3/files/appDataFolder").json()["id"]
        made = app.create(name="settings", parents=[alias])

        assert [folder] == made["parents"]
        assert ["appDataFolder"] == made["spaces"]
        assert ["settings"] == app.names(spaces=alias)
        assert ["settings"] == app.names(spaces="appDataFolder", q=f"'{alias}' in parents")

    def test_is_hidden_from_the_drive(self, app: App) -> None:
        """
        `spaces` defaults to drive: forgetting it finds nothing.
        """
        app.create(name="settings", parents=["appDataFolder"])
        app.create(name="visible")

        assert ["visible"] == app.names()
        assert ["visible"] == app.names(spaces="drive")
        assert ["visible", "settings"] == app.names(spaces="drive,appDataFolder")

    def test_belongs_to_one_project(self, server: EmulatorServer, app: App) -> None:
        """
        Another project has a folder of its own and cannot see into this one, not even by id.
        """
        other = App(server, APPDATA, email=app.email, client=other_app(server))
        made = app.create(name="settings", parents=["appDataFolder"])

        assert [] == other.names(spaces="appDataFolder")
        assert (404, "notFound") == reason(other.call("GET", f"/drive/v3/files/{made['id']}"))
        other.close()

    def test_belongs_to_one_user(self, server: EmulatorServer, app: App) -> None:
        """
        The same app sees nothing of another user's folder.
        """
        made = app.create(name="settings", parents=["appDataFolder"])
        other = App(server, APPDATA, FULL)

        assert [] == other.names(spaces="appDataFolder,drive")
        assert (404, "notFound") == reason(other.call("GET", f"/drive/v3/files/{made['id']}"))
        other.close()

    def test_cannot_be_trashed_shared_or_moved(self, app: App) -> None:
        """
        Three refusals with one reason; deleting is permanent and allowed.
        """
        made = app.create(name="settings", parents=["appDataFolder"])
        path = f"/drive/v3/files/{made['id']}"
        refused = (403, "notSupportedForAppDataFolderFiles")

        assert refused == reason(app.call("PATCH", path, json={"trashed": True}))
        share = {"type": "anyone", "role": "reader"}
        assert refused == reason(app.call("POST", f"{path}/permissions", json=share))
        move = {"addParents": "root", "removeParents": made["parents"][0]}
        assert refused == reason(app.call("PATCH", path, params=move, json={}))
        assert refused == reason(app.call("DELETE", "/drive/v3/files/appDataFolder"))
        assert 204 == app.call("DELETE", path).status_code
        assert (404, "notFound") == reason(app.call("GET", path))


class TestCreate:
    def test_answers_with_little_unless_fields_asks_for_more(self, app: App) -> None:
        """
        v3's default answer has four members.
        """
        made = app.call("POST", "/drive/v3/files", json={"name": "a"}).json()

        assert {"kind", "id", "name", "mimeType"} == made.keys()
        assert ("drive#file", "a", "application/octet-stream") == (
            made["kind"],
            made["name"],
            made["mimeType"],
        )

    def test_shows_the_whole_file_on_request(self, app: App) -> None:
        """
        64-bit numbers are strings; checksums and times are there.
        """
        made = app.put(b"hello", name="a.txt", description="d", appProperties={"k": "v"}, starred=True)

        assert "5" == made["size"]
        assert made["version"].isdecimal()
        assert hashlib.md5(b"hello").hexdigest() == made["md5Checksum"]
        assert hashlib.sha256(b"hello").hexdigest() == made["sha256Checksum"]
        assert {"k": "v"} == made["appProperties"]
        assert ("d", True, False, True) == (
            made["description"],
            made["starred"],
            made["trashed"],
            made["ownedByMe"],
        )
        assert "txt" == made["fileExtension"]
        assert app.email == made["owners"][0]["emailAddress"]
        assert made["createdTime"] == made["modifiedTime"]
        assert made["createdTime"].endswith("Z")

    def test_is_not_an_upsert(self, app: App) -> None:
        """
        Two files may share a name.
        """
        first, second = app.create(name="twin"), app.create(name="twin")

        assert first["id"] != second["id"]
        assert ["twin", "twin"] == app.names(q="name='twin'")

    def test_uses_ids_generated_before_once(self, app: App) -> None:
        """
        A retried create cannot make a second file.
        """
        answer = app.call("GET", "/drive/v3/files/generateIds", params={"count": 3}).json()
        assert ("drive#generatedIds", "drive", 3) == (
            answer["kind"],
            answer["space"],
            len(set(answer["ids"])),
        )
        body = {"id": answer["ids"][0], "name": "once"}

        assert answer["ids"][0] == app.create(**body)["id"]
        assert (409, "fileIdInUse") == reason(app.call("POST", "/drive/v3/files", json=body))
        assert (400, "fileIdInvalid") == reason(app.call("POST", "/drive/v3/files", json={"id": "made-up"}))

    def test_ids_are_for_one_space(self, app: App) -> None:
        """
        `space` says where the file will go.
        """
        params = {"space": "appDataFolder"}
        answer = app.call("GET", "/drive/v3/files/generateIds", params=params).json()

        assert ("appDataFolder", 10) == (answer["space"], len(answer["ids"]))
        wrong = app.call("POST", "/drive/v3/files", json={"id": answer["ids"][0]})
        assert (400, "fileIdInvalid") == reason(wrong)
        app.create(id=answer["ids"][0], parents=["appDataFolder"])

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"{", (400, "parseError")),
            (b"[]", (400, "parseError")),
            (b'{"name": 5}', (400, "invalid")),
            (b'{"starred": "yes"}', (400, "invalid")),
            (b'{"modifiedTime": "yesterday"}', (400, "invalid")),
            (b'{"parents": "root"}', (400, "invalid")),
            (b'{"parents": ["root", "appDataFolder"]}', (400, "invalid")),
            (b'{"parents": ["nowhere"]}', (404, "notFound")),
            (b'{"size": "5"}', (403, "fieldNotWritable")),
            (b'{"properties": []}', (400, "invalid")),
            (b'{"appProperties": {"k": "%s"}}' % (b"v" * 124), (400, "propertyTooLarge")),
        ],
    )
    def test_refuses_what_is_no_file(self, app: App, body: bytes, expected: tuple[int, str]) -> None:
        """
        Nothing is made, and the reason says why.
        """
        response = app.call(
            "POST", "/drive/v3/files", data=body, headers={"Content-Type": "application/json"}
        )

        assert expected == reason(response)
        assert [] == app.names(spaces="drive,appDataFolder")

    def test_refuses_misspelt_fields_before_it_makes_a_file(self, app: App) -> None:
        """
        A 400 leaves nothing behind.
        """
        response = app.call("POST", "/drive/v3/files", params={"fields": "idd"}, json={"name": "a"})

        assert (400, "invalidParameter") == reason(response)
        assert ("parameter", "fields") == (
            response.json()["error"]["errors"][0]["locationType"],
            response.json()["error"]["errors"][0]["location"],
        )
        assert [] == app.names()

    def test_counts_against_the_quota(self, app: App) -> None:
        """
        about.get says how much is used and how much there is, hidden files included.
        """
        app.put(b"12", name="two")
        app.put(b"345", name="three", parents=["appDataFolder"])
        about = app.call("GET", "/drive/v3/about", params={"fields": "user/emailAddress,storageQuota"}).json()

        assert app.email == about["user"]["emailAddress"]
        assert ("5", "0") == (about["storageQuota"]["usage"], about["storageQuota"]["usageInDriveTrash"])
        assert int(about["storageQuota"]["limit"]) > 5


class TestGet:
    def test_of_an_unknown_id_is_not_found(self, app: App) -> None:
        """
        Google's envelope in full.
        """
        response = app.call("GET", "/drive/v3/files/none", headers={"Accept": "text/html"})

        assert "application/json" == response.headers["content-type"].partition(";")[0]
        assert {
            "error": {
                "code": 404,
                "message": "File not found: none.",
                "errors": [
                    {
                        "message": "File not found: none.",
                        "domain": "global",
                        "reason": "notFound",
                        "locationType": "parameter",
                        "location": "fileId",
                    }
                ],
            }
        } == response.json()

    def test_of_the_root_is_my_drive(self, server: EmulatorServer) -> None:
        """
        `root` is an alias too, for who may see all of the drive.
        """
        app = App(server, FULL)

        assert "My Drive" == app.call("GET", "/drive/v3/files/root").json()["name"]
        app.close()

    def test_about_needs_fields(self, app: App) -> None:
        """
        The one method that has no default.
        """
        assert (400, "required") == reason(app.call("GET", "/drive/v3/about"))

    def test_unknown_paths_and_verbs_are_not_found(self, app: App) -> None:
        """
        Still in the envelope.
        """
        assert (404, "notFound") == reason(app.call("GET", "/drive/v3/nothing/here"))
        assert (404, "notFound") == reason(app.call("PUT", "/drive/v3/files"))


class TestList:
    def test_pages_are_followed_to_the_end(self, app: App) -> None:
        """
        `nextPageToken` is there while something is left.
        """
        for number in range(5):
            app.create(name=f"{number}")
        seen, token, pages = [], None, 0
        while True:
            params = {"pageSize": 2, "orderBy": "name", **({"pageToken": token} if token else {})}
            page = app.call("GET", "/drive/v3/files", params=params).json()
            seen += [file["name"] for file in page["files"]]
            pages += 1
            token = page.get("nextPageToken")
            if token is None:
                break

        assert (["0", "1", "2", "3", "4"], 3) == (seen, pages)
        assert ("drive#fileList", False) == (page["kind"], page["incompleteSearch"])

    def test_deleting_while_paging_skips_nothing(self, app: App) -> None:
        """
        The rest of a list does not move when its beginning is deleted.
        """
        for number in range(6):
            app.create(name=f"{number}")
        token, seen = None, []
        while len(seen) < 6:
            params = {"pageSize": 2, **({"pageToken": token} if token else {})}
            page = app.call("GET", "/drive/v3/files", params=params).json()
            for file in page["files"]:
                seen.append(file["name"])
                assert 204 == app.call("DELETE", f"/drive/v3/files/{file['id']}").status_code
            token = page.get("nextPageToken")

        assert ["0", "1", "2", "3", "4", "5"] == sorted(seen)
        assert [] == app.names()

    @pytest.mark.parametrize(
        ("order", "names"),
        [
            (None, ["f", "a12", "a2", "b"]),
            ("name", ["a12", "a2", "b", "f"]),
            ("name desc", ["f", "b", "a2", "a12"]),
            ("name_natural", ["a2", "a12", "b", "f"]),
            ("folder,name", ["f", "a12", "a2", "b"]),
            ("folder desc, name desc", ["b", "a2", "a12", "f"]),
            ("createdTime", ["b", "a2", "a12", "f"]),
            ("modifiedTime desc", ["f", "a12", "a2", "b"]),
            ("quotaBytesUsed desc,name", ["b", "a12", "a2", "f"]),
            ("starred,name", ["a2", "a12", "b", "f"]),
        ],
    )
    def test_is_ordered_as_asked(self, app: App, order: str | None, names: list[str]) -> None:
        """
        Several keys, each either way; the latest change first by default.
        """
        start = datetime(2026, 1, 1, tzinfo=UTC)
        app.put(b"content", name="b", **times(start))
        app.create(name="a2", starred=True, **times(start + timedelta(days=1)))
        app.create(name="a12", **times(start + timedelta(days=2)))
        app.create(name="f", mimeType=FOLDER, **times(start + timedelta(days=3)))

        assert names == app.names(**({"orderBy": order} if order else {}))

    @pytest.mark.parametrize(
        ("parameter", "value", "expected"),
        [
            ("q", "name = ", "invalid"),
            ("orderBy", "size", "invalid"),
            ("orderBy", "name up", "invalid"),
            ("spaces", "photos", "invalid"),
            ("spaces", "root", "invalid"),
            ("corpora", "world", "invalid"),
            ("pageToken", "stale", "invalid"),
            ("pageSize", "0", "invalidParameter"),
            ("pageSize", "1001", "invalidParameter"),
            ("pageSize", "many", "invalidParameter"),
            ("supportsAllDrives", "1", "invalidParameter"),
            ("alt", "proto", "invalidParameter"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, app: App, parameter: str, value: str, expected: str) -> None:
        """
        400, and `location` says which.
        """
        response = app.call("GET", "/drive/v3/files", params={parameter: value})

        assert (400, expected) == reason(response)
        assert parameter == response.json()["error"]["errors"][0]["location"]

    def test_a_query_too_long_for_an_address_may_be_posted(self, app: App) -> None:
        """
        Google's Python client does this above 2,048 characters.
        """
        app.create(name="needle")
        search = " or ".join(["name = 'needle'"] * 200)
        response = app.call(
            "POST", "/drive/v3/files", data={"q": search}, headers={"X-HTTP-Method-Override": "GET"}
        )

        assert ["needle"] == [file["name"] for file in response.json()["files"]]


class TestUpdate:
    def test_changes_what_is_named_and_nothing_else(self, app: App) -> None:
        """
        PATCH: a null property is removed, the version grows, the content stays.
        """
        made = app.put(b"hello", name="a.txt", properties={"x": "1", "y": "2"})
        response = app.call(
            "PATCH",
            f"/drive/v3/files/{made['id']}",
            params={"fields": "*"},
            json={"name": "b.txt", "properties": {"x": None, "z": "3"}},
        )
        changed = response.json()

        assert ("b.txt", {"y": "2", "z": "3"}) == (changed["name"], changed["properties"])
        assert int(changed["version"]) > int(made["version"])
        assert (made["md5Checksum"], made["headRevisionId"]) == (
            changed["md5Checksum"],
            changed["headRevisionId"],
        )

    def test_bin_and_back(self, app: App) -> None:
        """
        What lies in a binned folder goes with it, and the list shows both until told otherwise.
        """
        folder = app.create(name="folder", mimeType=FOLDER)
        child = app.create(name="child", parents=[folder["id"]])
        path = f"/drive/v3/files/{folder['id']}"

        app.call("PATCH", path, json={"trashed": True})
        binned = app.call("GET", f"/drive/v3/files/{child['id']}", params={"fields": "*"}).json()
        assert (True, False) == (binned["trashed"], binned["explicitlyTrashed"])
        assert [] == app.names(q="trashed = false")
        assert ["child", "folder"] == sorted(app.names())
        app.call("PATCH", path, json={"trashed": False})
        assert ["child", "folder"] == sorted(app.names(q="trashed = false"))

    def test_moves_between_folders(self, app: App) -> None:
        """
        A file has one parent: adding means leaving.
        """
        folder = app.create(name="folder", mimeType=FOLDER)
        made = app.create(name="a")
        path = f"/drive/v3/files/{made['id']}"

        assert (403, "cannotAddParent") == reason(
            app.call("PATCH", path, params={"addParents": folder["id"]}, json={})
        )
        # My Drive itself is not visible with drive.file, so it cannot be named to leave it.
        both = App(app.emulator, FULL, email=app.email)
        params = {"addParents": folder["id"], "removeParents": "root", "fields": "parents"}
        assert [folder["id"]] == both.call("PATCH", path, params=params, json={}).json()["parents"]
        into_itself = {"addParents": folder["id"], "removeParents": "root"}
        assert (400, "badRequest") == reason(
            both.call("PATCH", f"/drive/v3/files/{folder['id']}", params=into_itself, json={})
        )
        both.close()

    @pytest.mark.parametrize("body", [{"id": "x"}, {"parents": ["root"]}, {"md5Checksum": "0"}])
    def test_some_members_cannot_be_written(self, app: App, body: dict[str, object]) -> None:
        """
        403 `fieldNotWritable`.
        """
        made = app.create(name="a")

        assert (403, "fieldNotWritable") == reason(
            app.call("PATCH", f"/drive/v3/files/{made['id']}", json=body)
        )

    def test_top_folders_stay_as_they_are(self, server: EmulatorServer) -> None:
        """
        My Drive can be neither changed nor deleted, and no folder has content.
        """
        app = App(server, FULL)
        folder = app.create(name="folder", mimeType=FOLDER)

        assert (403, "insufficientFilePermissions") == reason(
            app.call("PATCH", "/drive/v3/files/root", json={"name": "Your Drive"})
        )
        assert (403, "insufficientFilePermissions") == reason(app.call("DELETE", "/drive/v3/files/root"))
        assert (400, "badRequest") == reason(
            app.call("PATCH", f"/upload/drive/v3/files/{folder['id']}?uploadType=media", data=b"x")
        )
        app.close()

    def test_leaving_a_folder_for_none_ends_in_my_drive(self, app: App) -> None:
        """
        removeParents alone.
        """
        folder = app.create(name="folder", mimeType=FOLDER)
        made = app.create(name="a", parents=[folder["id"]])
        params = {"removeParents": folder["id"], "fields": "parents"}
        moved = app.call("PATCH", f"/drive/v3/files/{made['id']}", params=params, json={}).json()

        assert moved["parents"] == folder["parents"]

    def test_what_was_binned_by_itself_stays_binned(self, app: App) -> None:
        """
        Taking its folder out of the bin does not bring it back.
        """
        folder = app.create(name="folder", mimeType=FOLDER)
        child = app.create(name="child", parents=[folder["id"]])
        app.call("PATCH", f"/drive/v3/files/{child['id']}", json={"trashed": True})
        app.call("PATCH", f"/drive/v3/files/{folder['id']}", json={"trashed": True})
        app.call("PATCH", f"/drive/v3/files/{folder['id']}", json={"trashed": False})

        assert ["folder"] == app.names(q="trashed = false")

    def test_a_folder_has_a_colour(self, app: App) -> None:
        """
        folderColorRgb is kept as it was sent.
        """
        assert "#d06b64" == app.create(mimeType=FOLDER, folderColorRgb="#d06b64")["folderColorRgb"]


class TestDeleteAndCopy:
    def test_a_folder_goes_with_all_that_is_in_it(self, app: App) -> None:
        """
        Deleting does not stop at the bin.
        """
        folder = app.create(name="folder", mimeType=FOLDER)
        app.create(name="child", parents=[folder["id"]])

        assert 204 == app.call("DELETE", f"/drive/v3/files/{folder['id']}").status_code
        assert [] == app.names()

    def test_a_copy_has_the_content_and_an_id_of_its_own(self, app: App) -> None:
        """
        files.copy, inside the space of the original only.
        """
        made = app.put(b"hello", name="a.txt", parents=["appDataFolder"])
        path = f"/drive/v3/files/{made['id']}/copy"
        copied = app.call("POST", path, params={"fields": "*"}, json={"name": "b.txt"}).json()

        assert made["id"] != copied["id"]
        assert ("b.txt", made["md5Checksum"], made["parents"]) == (
            copied["name"],
            copied["md5Checksum"],
            copied["parents"],
        )
        assert (403, "notSupportedForAppDataFolderFiles") == reason(
            app.call("POST", path, json={"parents": ["root"]})
        )
        folder = app.create(name="folder", mimeType=FOLDER)
        assert (403, "cannotCopyFile") == reason(
            app.call("POST", f"/drive/v3/files/{folder['id']}/copy", json={})
        )

    def test_a_copy_cannot_take_the_place_of_a_file(self, app: App) -> None:
        """
        An id that is in use, or was never generated, is refused.
        """
        made, other = app.create(name="a"), app.create(name="b")
        path = f"/drive/v3/files/{made['id']}/copy"

        assert (409, "fileIdInUse") == reason(app.call("POST", path, json={"id": other["id"]}))
        assert (400, "fileIdInvalid") == reason(app.call("POST", path, json={"id": "made-up"}))

    @pytest.mark.parametrize(
        ("body", "shown"),
        [
            ({"type": "anyone", "role": "reader"}, {"type": "anyone", "allowFileDiscovery": False}),
            (
                {"type": "domain", "role": "writer", "domain": "example.com"},
                {"type": "domain", "domain": "example.com", "allowFileDiscovery": False},
            ),
            (
                {"type": "group", "role": "commenter", "emailAddress": "all@example.com"},
                {"type": "group", "emailAddress": "all@example.com"},
            ),
        ],
    )
    def test_a_file_is_shared_with_more_than_users(
        self, app: App, body: dict[str, str], shown: dict[str, object]
    ) -> None:
        """
        Groups, domains, and whoever has the link.
        """
        path = f"/drive/v3/files/{app.create(name='a')['id']}/permissions"
        made = app.call("POST", path, params={"fields": "*"}, json=body).json()

        assert {**shown, "kind": "drive#permission", "id": made["id"], "role": body["role"]} == made
        again = app.call("POST", path, params={"fields": "*"}, json=body).json()
        assert made == again
        assert 2 == len(app.call("GET", path).json()["permissions"])

    def test_sharing_needs_to_say_with_whom(self, app: App) -> None:
        """
        An address or a domain, and JSON that is an object.
        """
        path = f"/drive/v3/files/{app.create(name='a')['id']}/permissions"

        assert (400, "required") == reason(app.call("POST", path, json={"type": "user", "role": "reader"}))
        assert (400, "parseError") == reason(app.call("POST", path, json=[]))

    def test_sharing_is_recorded(self, app: App) -> None:
        """
        permissions.create, then permissions.list and `shared`.
        """
        made = app.create(name="a")
        path = f"/drive/v3/files/{made['id']}/permissions"
        body = {"type": "user", "role": "reader", "emailAddress": "friend@example.com"}

        assert "user" == app.call("POST", path, json=body).json()["type"]
        listed = app.call("GET", path, params={"fields": "permissions(role,emailAddress)"}).json()
        assert [
            {"role": "owner", "emailAddress": app.email},
            {"role": "reader", "emailAddress": "friend@example.com"},
        ] == listed["permissions"]
        assert app.call("GET", f"/drive/v3/files/{made['id']}?fields=shared").json() == {"shared": True}
        assert (400, "required") == reason(app.call("POST", path, json={"type": "user"}))
        assert (400, "required") == reason(app.call("POST", path, json={"type": "x", "role": "reader"}))


def test_every_call_is_counted(server: EmulatorServer, app: App) -> None:
    """
    By method and outcome.
    """
    world = server.world
    before = world.counted("drive", "files.get", "notFound"), world.counted("drive", "files.list", "ok")

    app.call("GET", "/drive/v3/files/none")
    app.names()

    after = world.counted("drive", "files.get", "notFound"), world.counted("drive", "files.list", "ok")
    assert (before[0] + 1, before[1] + 1) == after


@pytest.mark.parametrize(
    ("fault", "options", "status"),
    [
        ("api_401", {}, 401),
        ("api_403_rate", {}, 403),
        ("api_429", {"retry_after": 7}, 429),
        ("api_500", {}, 500),
    ],
)
def test_faults_of_an_api(
    server: EmulatorServer, app: App, fault: str, options: dict[str, Any], status: int
) -> None:
    """
    Each strikes as often as it was planned and has no effect on the files.
    """
    server.world.faults.add("drive", fault, count=1, **options)
    response = app.call("POST", "/drive/v3/files", json={"name": "a"})

    assert status == response.status_code
    assert status == response.json()["error"]["code"]
    assert str(options["retry_after"]) == response.headers["retry-after"] if options else True
    assert [] == app.names()


def test_a_dead_token_is_told_apart_from_none(server: EmulatorServer, app: App) -> None:
    """
    401 either way, with the challenge of a token that no longer works.
    """
    server.world.access_tokens[app.token].dead = True
    dead = app.call("GET", "/drive/v3/files")
    none = requests.get(f"{server.url}/drive/v3/files", timeout=10)

    assert (401, "authError") == reason(dead)
    assert 'error="invalid_token"' in dead.headers["www-authenticate"]
    assert (401, "required") == reason(none)
    assert "error=" not in none.headers["www-authenticate"]


def test_a_reset_empties_every_drive() -> None:
    """
    The same user comes back to nothing, not even to an upload that was under way.
    """
    with EmulatorServer() as emulator:
        app = App(emulator, FILE, email="ann@example.com")
        app.create(name="a")
        begun = app.call("POST", "/upload/drive/v3/files?uploadType=resumable")
        emulator.world.reset()
        again = App(emulator, FILE, email="ann@example.com")

        assert [] == again.names()
        assert (404, "notFound") == reason(again.call("PUT", begun.headers["location"], data=b"x"))
        app.close()
        again.close()


def times(moment: datetime) -> dict[str, str]:
    """Both times of a file."""
    return {"createdTime": moment.isoformat(), "modifiedTime": moment.isoformat()}
