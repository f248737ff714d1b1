"""The adapter for mautrix, by what it hands to the client; test_messenger has the real one."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import pytest
from mautrix.crypto.attachments import decrypt_attachment
from mautrix.errors import MatrixError

from scanner.integrations.matrix_mautrix import GatedMedia, HeldError
from scanner.types import Outcome
from tests.integrations.devices import AT_ONCE, KNOWN, PATIENT, device, picture

INNOCENT = picture(30)


class Client:
    """Stands for mautrix's client: notes what is uploaded."""

    def __init__(self):
        self.uploads = []

    async def upload_media(self, data, **options):
        self.uploads.append((bytes(data), options))
        return "mxc://localhost/x"


def done(list_path, tmp_path, script, profile="standard", settings=AT_ONCE, **options):
    """Run a script with gated media; gives what it returned and what was uploaded."""
    client = Client()

    async def run():
        async with device(list_path, tmp_path, PATIENT[profile], settings=settings) as one:
            return await script(GatedMedia(client, one.gate, **options))

    return asyncio.run(run()), client.uploads


def test_what_is_uploaded_is_what_was_checked(list_path, tmp_path):
    """Encrypted, the upload decrypts to it, and its length is announced; unencrypted, it is the same."""
    path = tmp_path / "picture.png"
    path.write_bytes(INNOCENT)
    file, ((ciphertext, options),) = done(list_path, tmp_path, lambda media: media.upload_encrypted(path))
    assert file.url == "mxc://localhost/x"
    assert decrypt_attachment(ciphertext, file.key.key, file.hashes["sha256"], file.iv) == INNOCENT
    assert options == {"mime_type": "application/octet-stream", "size": len(INNOCENT)}
    address, ((plain, options),) = done(list_path, tmp_path, lambda media: media.upload(path, "image/png", "a.png"))
    assert (address, plain) == ("mxc://localhost/x", INNOCENT)
    assert options == {"mime_type": "image/png", "filename": "a.png", "size": len(INNOCENT)}


@pytest.mark.parametrize("method", ["upload", "upload_encrypted"])
def test_held_media_is_an_error_of_mautrix_and_reaches_no_server(list_path, tmp_path, method):
    """Who handles mautrix's errors handles it; who wants more has the notice."""
    shown, arguments = [], ("image/png",) if method == "upload" else ()

    async def script(media):
        with pytest.raises(MatrixError, match="not sent") as caught:
            await getattr(media, method)(KNOWN[0], *arguments)
        assert isinstance(caught.value, HeldError)
        return caught.value.notice

    notice, uploads = done(list_path, tmp_path, script, on_notice=shown.append)
    assert notice.reason is Outcome.MATCH
    assert shown == [notice]
    assert uploads == []


@pytest.mark.parametrize("form", ["bytes", "path", "file"])
def test_what_was_not_read_is_sent_or_held_by_the_profile(list_path, tmp_path, form):
    """Media over the limit goes out whole where the profile fails open, and not at all where it fails closed."""
    path = tmp_path / "picture.png"
    path.write_bytes(INNOCENT)
    small = replace(AT_ONCE, max_bytes=10)

    def source():
        return {"bytes": INNOCENT, "path": path, "file": io.BytesIO(INNOCENT)}[form]

    _, ((data, _),) = done(list_path, tmp_path, lambda media: media.upload(source(), "image/png"), settings=small)
    assert data == INNOCENT
    with pytest.raises(HeldError):
        done(list_path, tmp_path, lambda media: media.upload(source(), "image/png"), "strict", small)


def test_what_cannot_be_read_is_the_callers_error(list_path, tmp_path):
    """A file that is not there can't be sent, whatever the profile."""
    with pytest.raises(FileNotFoundError):
        done(list_path, tmp_path, lambda media: media.upload_encrypted(tmp_path / "none"))


def test_a_display_that_fails_changes_nothing(list_path, tmp_path):
    """What is sent with a remark is sent."""

    def show(notice):
        raise RuntimeError("the display is broken")

    _, uploads = done(
        list_path, tmp_path, lambda media: media.upload(KNOWN[0], "image/png"), "report-only", on_notice=show
    )
    assert [data for data, _ in uploads] == [KNOWN[0]]
