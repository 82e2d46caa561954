"""The fault menu: every way the emulator can be wrong, by name."""

from grantkeeper.emulator.faults import FaultKind
from grantkeeper.emulator.spoil_wire import WIRE_FAULTS

MENU: dict[str, FaultKind] = {kind.name: kind for kind in WIRE_FAULTS}
