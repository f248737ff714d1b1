"""The checkpoint inside messaging clients: one gate that knows no messenger, and a thin adapter for each."""

from scanner.integrations.checked import Checked as Checked
from scanner.integrations.checked import Decision as Decision
from scanner.integrations.checked import Progress as Progress
from scanner.integrations.gate import GateSettings as GateSettings
from scanner.integrations.gate import OutgoingGate as OutgoingGate
from scanner.integrations.notices import Messages as Messages
from scanner.integrations.notices import Notice as Notice
from scanner.integrations.notices import Notices as Notices
