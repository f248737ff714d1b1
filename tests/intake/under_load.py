"""Clients that keep an intake busy while it is killed, and remember every receipt they were given.

Each is a thread with a device of its own. A ``Phone`` delivers out of a real outbox; a ``Putter`` puts single vouchers
and a ``Gateway`` posts batches, and both send again what got no answer and, now and then, what did. An answer that is
neither a receipt nor "later" is a fault, and so is a second receipt that differs from the first.
"""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import httpx

from scanner.delivery import Courier
from scanner.outbox import Outbox, OutboxSettings
from scanner.vouchers import decode_answers
from scanner.vouchers.header import SLOTS
from tests.intake.conftest import INTAKE
from tests.intake.senders import Sender, post, this_window

PATIENT = OutboxSettings(first_delay=0.02, longest_delay=0.3, max_bytes=1 << 30)
LATER = {429, 503}
FOUND = "single vouchers found stored, though their answer had been cut off"
Slot = int


class Client(threading.Thread, ABC):
    """One device.

    Args:
        url: the intake, whether it runs now or not.
        number: which device, and what chance it acts by.

    Attributes:
        vouchers: what it has made, by slot.
        receipts: what it was given, by slot.
        seen: how often what came back.
        faults: what must not come back.
    """

    def __init__(self, url: str, number: int) -> None:
        super().__init__(name=f"{type(self).__name__} {number}", daemon=True)
        self.sender = Sender(number)
        self.window = this_window()
        self.vouchers: dict[Slot, bytes] = {}
        self.receipts: dict[Slot, bytes] = {}
        self.seen: Counter[str] = Counter()
        self.faults: list[str] = []
        self.unanswered: list[Slot] = []
        self.chance = random.Random(number)
        self.url = url
        self.over = threading.Event()

    def run(self) -> None:
        """Enrol, then send until told that it is over."""
        with httpx.Client(base_url=self.url, timeout=20) as client:
            while not self.over.is_set() and not self.faults:
                try:
                    if "enrolled" not in self.seen:
                        self.enrol(client)
                    else:
                        self.send(client)
                except httpx.HTTPError:
                    self.seen["cut off"] += 1
                    self.over.wait(0.02)
                except Exception as error:  # noqa: BLE001 -- a thread's exception would be seen by nobody
                    self.faults.append(f"{self.name}: {error!r}")

    def enrol(self, client: httpx.Client) -> None:
        """Become known."""
        if self.allowed(answer := self.sender.enrol(client)):
            self.seen["enrolled"] += answer.is_success

    @abstractmethod
    def send(self, client: httpx.Client) -> None:
        """Send something."""

    def fresh(self, number: int) -> list[Slot]:
        """Slots of vouchers that have no receipt yet, made if there are none."""
        if not self.unanswered:
            first = len(self.vouchers)
            self.unanswered = list(range(first, min(first + number, SLOTS)))
            self.vouchers |= {slot: self.sender.voucher(self.window, slot) for slot in self.unanswered}
        return self.unanswered

    def allowed(self, answer: httpx.Response) -> bool:
        """Whether an answer is a good one; one that says later is waited for, and any other is a fault."""
        self.seen[str(answer.status_code)] += 1
        if answer.status_code in LATER:
            if "Retry-After" not in answer.headers:
                self.faults.append(f"{self.name}: {answer.status_code} without Retry-After")
            self.over.wait(0.02)
        elif not answer.is_success:
            self.faults.append(f"{self.name}: {answer.status_code} {answer.text}")
        return answer.is_success

    def keep(self, slot: Slot, receipt: bytes) -> None:
        """Remember a receipt; a voucher has one."""
        if self.receipts.setdefault(slot, receipt) != receipt:
            self.faults.append(f"{self.name}: two receipts for slot {slot}")

    def receipted(self) -> dict[Slot, bytes]:
        """Receipts it was given, while it does not run."""
        return self.receipts


class Putter(Client):
    """Single vouchers; of four requests one repeats an earlier one."""

    def send(self, client: httpx.Client) -> None:
        """Put one."""
        old = self.receipts and self.chance.random() < 0.25
        slot = self.chance.choice(list(self.receipts)) if old else self.fresh(1)[0]
        had = slot in self.receipts
        answer = self.sender.put(client, self.vouchers[slot], self.window, slot)
        if self.allowed(answer):
            self.keep(slot, answer.content)
            if not had:
                self.unanswered = []
                self.seen[FOUND] += answer.status_code == httpx.codes.OK
            if had and answer.status_code != httpx.codes.OK:
                self.faults.append(f"{self.name}: slot {slot} was stored twice")


class Gateway(Client):
    """Batches of up to 24, some vouchers in them sent before or twice in one."""

    def send(self, client: httpx.Client) -> None:
        """Post one."""
        slots = [*self.fresh(self.chance.randint(1, 16))]
        slots += self.chance.choices(range(len(self.vouchers)), k=self.chance.randint(0, 8))
        self.chance.shuffle(slots)
        self.post(client, slots)
        self.unanswered = [slot for slot in self.unanswered if slot not in self.receipts]
        self.over.wait(0.05)  # a device has 65,536 slots, and this one is busy for long

    def post(self, client: httpx.Client, slots: list[Slot]) -> None:
        """Post these."""
        answer = post(client, [self.vouchers[slot] for slot in slots])
        if self.allowed(answer):
            for slot, receipt in zip(slots, decode_answers(answer.content, len(slots)), strict=True):
                if isinstance(receipt, bytes):
                    self.keep(slot, receipt)
                else:
                    self.faults.append(f"{self.name}: slot {slot} was refused as {receipt}")


class Phone(Client):
    """A real outbox, delivered by a real courier."""

    def __init__(self, url: str, number: int, folder: Path) -> None:
        super().__init__(url, number)
        self.outbox = Outbox(folder / f"outbox-{number}.db", PATIENT)
        self.courier = Courier(url, self.sender.key, self.sender.account, INTAKE.public_key(), timeout=20)

    def send(self, client: httpx.Client) -> None:
        """Add a few if few wait, and deliver what is due."""
        now = time.time()
        if self.outbox.counts().get("pending", 0) < 20:
            for _ in range(self.chance.randint(1, 8)):
                self.outbox.add(self.window, self._seal, now)
        self.seen["delivered"] += self.courier.deliver(self.outbox, now)
        self.over.wait(0.01)

    def _seal(self, window: int, slot: int) -> bytes:
        self.vouchers[slot] = self.sender.voucher(window, slot)
        return self.vouchers[slot]

    def drain(self, seconds: float) -> None:
        """Deliver all that waits.

        Raises:
            TimeoutError: it is not all delivered in time.
        """
        deadline = time.monotonic() + seconds
        while (counts := self.outbox.counts()).get("pending", 0):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} has not delivered all: {counts}")
            self.courier.deliver(self.outbox, time.time())
            time.sleep(0.01)
        if counts.keys() != {"delivered"}:
            self.faults.append(f"{self.name}: not all of the outbox was delivered: {counts}")

    def receipted(self) -> dict[Slot, bytes]:
        """Receipts in the outbox, by slot: they were added in the slots' order."""
        kept = self.outbox.ledger().vouchers
        return {one.slot: one.receipt for one in kept if one.receipt is not None}

    def close(self) -> None:
        """Close the outbox and its connections."""
        self.courier.close()
        self.outbox.close()
