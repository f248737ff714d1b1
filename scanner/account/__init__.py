"""The account of a user on the device: its secret, window after window, in a keyring or a file."""

from scanner.account.account import VERSION as VERSION
from scanner.account.account import Account as Account
from scanner.account.keyring import KEYRING_SERVICE as KEYRING_SERVICE
from scanner.account.keyring import LEAST_PRIORITY as LEAST_PRIORITY
from scanner.account.keyring import Keyring as Keyring
from scanner.account.keyring import platform_keyring as platform_keyring
from scanner.account.store import AccountStore as AccountStore
