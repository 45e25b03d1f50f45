"""Stores the login in the macOS Keychain, as Claude Code does on a Mac, with the `security` program.

Secrets are passed to `security` on its standard input, never as arguments, which every process can read. Its standard
error may quote what it could not parse, so it is never shown.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
import unicodedata
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from addon.core.json_codec import loads
from addon.core.types import JsonObject
from addon.credentials.credential import LOGIN_AGAIN, CredentialError, LoginSource
from addon.credentials.store import Revision, encoded

SERVICE = "Claude Code-credentials"
SECURITY = Path("/usr/bin/security")

_NOT_FOUND = 44
"""`security`'s exit status for errSecItemNotFound."""
_MAX_LINE = 4096
"""`security -i` takes longer lines as two commands (SecurityTool's MAX_LINE_LEN)."""
_TIMEOUT = 10.0
_REVISION_SECONDS = 30.0
"""A new login is noticed after this time: the Keychain has no modification time that is cheap to read."""


def service_name(config_dir: str | None) -> str:
    """The name of Claude Code's item. It depends on CLAUDE_CONFIG_DIR, exactly as the variable is written."""
    if not config_dir:
        return SERVICE
    spelled = unicodedata.normalize("NFC", config_dir).encode()
    return f"{SERVICE}-{hashlib.sha256(spelled).hexdigest()[:8]}"


@dataclass(eq=False, repr=False)
class KeychainStore:
    """One generic password, found by service and account: an item of the account `unknown` holds other tokens."""

    service: str
    account: str
    _: KW_ONLY
    security: Path = SECURITY
    monotonic: Callable[[], float] = time.monotonic
    source: LoginSource = field(default="keychain", init=False)

    @property
    def name(self) -> str:
        return f"Keychain item {self.service}"

    def revision(self) -> Revision:
        return (self.monotonic() // _REVISION_SECONDS,)

    def load(self) -> JsonObject | None:
        found = self._run("find-generic-password", "-a", self.account, "-s", self.service, "-w")
        if found.returncode == _NOT_FOUND:
            return None
        if found.returncode != 0:
            raise CredentialError(
                "malformed", f"The {self.name} is locked. Run `security unlock-keychain`."
            )
        return self._decoded(found.stdout.strip())

    def _decoded(self, text: str) -> JsonObject:
        try:
            # Text that is not plain ASCII is printed in hexadecimal.
            document = loads(text if text.startswith("{") else bytes.fromhex(text))
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise CredentialError(
                "malformed", f"The {self.name} does not contain a JSON object. {LOGIN_AGAIN}"
            )
        return document

    def check_writable(self, document: JsonObject) -> None:
        self._line(document)

    def save(self, document: JsonObject) -> None:
        self._run("-i", stdin=self._line(document))
        # The exit status of `security` does not tell whether the item was written completely.
        try:
            saved = self.load() == document
        except CredentialError:
            saved = False
        if not saved:
            raise CredentialError("unwritable", f"The {self.name} cannot be written.")

    def _line(self, document: JsonObject) -> str:
        words = ("-U", "-a", self.account, "-s", self.service, "-w", encoded(document).decode())
        line = f"add-generic-password {' '.join(_quoted(word) for word in words)}\n"
        if len(line.encode()) >= _MAX_LINE:
            raise CredentialError(
                "unwritable",
                f"The {self.name} is too large for `security`. Use `claude setup-token`.",
            )
        return line

    def _run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - fixed program, no shell, no secret in the arguments
                [self.security, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CredentialError(
                "malformed", f"`{self.security}` failed ({type(error).__name__})."
            ) from None


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
