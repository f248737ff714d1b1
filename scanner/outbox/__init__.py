"""Vouchers wait here until the intake has signed for them; the user's record of it."""

from scanner.outbox.database import APPLICATION_ID as APPLICATION_ID
from scanner.outbox.database import SCHEMA_VERSION as SCHEMA_VERSION
from scanner.outbox.ledger import DAY as DAY
from scanner.outbox.ledger import DayCount as DayCount
from scanner.outbox.ledger import DayTraffic as DayTraffic
from scanner.outbox.ledger import Kept as Kept
from scanner.outbox.ledger import Ledger as Ledger
from scanner.outbox.outbox import Outbox as Outbox
from scanner.outbox.outbox import OutboxSettings as OutboxSettings
from scanner.outbox.outbox import Waiting as Waiting
