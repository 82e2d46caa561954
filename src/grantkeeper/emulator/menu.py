"""The fault menu: every way the emulator can be wrong, by name."""

from grantkeeper.emulator.drive_faults import DRIVE_FAULTS
from grantkeeper.emulator.faults import FaultKind
from grantkeeper.emulator.photos_faults import PHOTOS_FAULTS
from grantkeeper.emulator.spoil_documents import DOCUMENT_FAULTS
from grantkeeper.emulator.spoil_identity import IDENTITY_FAULTS
from grantkeeper.emulator.spoil_token import TOKEN_FAULTS
from grantkeeper.emulator.spoil_wire import WIRE_FAULTS

MENU: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        *WIRE_FAULTS,
        *TOKEN_FAULTS,
        *IDENTITY_FAULTS,
        *DOCUMENT_FAULTS,
        *DRIVE_FAULTS,
        *PHOTOS_FAULTS,
    )
}
