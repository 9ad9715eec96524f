"""Which passwords are refused whatever a list says: pure.

Few rules, after NIST SP 800-63B, 3.1.1.2: length decides, kinds of characters do not; but not one's own name or address.
"""

import unicodedata

LEAST_PASSWORD = 12
MOST_PASSWORD = 256
LEAST_DIFFERENT = 5
LEAST_OWN_PART = 3
"""A name's part that is shorter is no name: `Li` may be in a password."""
LEAST_LEFT = 8
"""Characters that must be left of a password without its owner's address and name."""


def normalized(password: str) -> str:
    """The same password however a keyboard composed it: Unicode NFC (RFC 8265, 4.2)."""
    return unicodedata.normalize("NFC", password)


def weakness(password: str, *, email: str, name: str) -> str | None:
    """Why a password is too weak for this account, in words for its owner; None when it is not. Length is not looked at."""
    plain = normalized(password).casefold()
    if len(set(plain)) < LEAST_DIFFERENT:
        return f"it must have at least {LEAST_DIFFERENT} different characters"
    left = plain
    for part in _own_parts(email, name):
        left = left.replace(part, "")
    if left != plain and len(left) < LEAST_LEFT:
        return f"without your own address and name it must have at least {LEAST_LEFT} characters"
    return None


def _own_parts(email: str, name: str) -> list[str]:
    local, _, domain = email.casefold().partition("@")
    words = [email.casefold(), local, domain, domain.partition(".")[0], *normalized(name).casefold().split()]
    # The longest first, so that no shorter one takes a piece out of it.
    return sorted({word for word in words if len(word) >= LEAST_OWN_PART}, key=len, reverse=True)
