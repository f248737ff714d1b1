"""Verdicts to vouchers and back. No I/O anywhere in here."""

from scanner.vouchers.enrolment import check_possession as check_possession
from scanner.vouchers.enrolment import prove_possession as prove_possession
from scanner.vouchers.envelope import LARGEST_VOUCHER as LARGEST_VOUCHER
from scanner.vouchers.envelope import DeviceSealer as DeviceSealer
from scanner.vouchers.envelope import Voucher as Voucher
from scanner.vouchers.header import VoucherHeader as VoucherHeader
from scanner.vouchers.header import day_at as day_at
from scanner.vouchers.header import device_id_of as device_id_of
from scanner.vouchers.header import window_at as window_at
from scanner.vouchers.payload import Payload as Payload
from scanner.vouchers.receipt import Receipt as Receipt
