"""Verdicts to vouchers and back. No I/O anywhere in here."""

from scanner.vouchers.batch import decode_answers as decode_answers
from scanner.vouchers.batch import decode_batch as decode_batch
from scanner.vouchers.batch import encode_answers as encode_answers
from scanner.vouchers.batch import encode_batch as encode_batch
from scanner.vouchers.enrolment import check_possession as check_possession
from scanner.vouchers.enrolment import prove_possession as prove_possession
from scanner.vouchers.envelope import LARGEST_VOUCHER as LARGEST_VOUCHER
from scanner.vouchers.envelope import DeviceSealer as DeviceSealer
from scanner.vouchers.envelope import Unsealed as Unsealed
from scanner.vouchers.envelope import Voucher as Voucher
from scanner.vouchers.header import VoucherHeader as VoucherHeader
from scanner.vouchers.header import day_at as day_at
from scanner.vouchers.header import device_id_of as device_id_of
from scanner.vouchers.header import window_at as window_at
from scanner.vouchers.opening import OpenedWindow as OpenedWindow
from scanner.vouchers.opening import Result as Result
from scanner.vouchers.opening import open_window as open_window
from scanner.vouchers.payload import Payload as Payload
from scanner.vouchers.policy import PinnedSigners as PinnedSigners
from scanner.vouchers.policy import Policy as Policy
from scanner.vouchers.receipt import Receipt as Receipt
from scanner.vouchers.terms import Terms as Terms
