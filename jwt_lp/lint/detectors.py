"""Detectors for personal data, secrets and prose in names and values.

The detectors guess, and are seldom wrong: card numbers and IBANs count only if their check digits are right.
python-stdnum checks these (the extra `cli` installs it); without it, card numbers and IBANs are not detected in values.
No function here keeps or returns a text.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PROSE: Final = 64
_BLANKS: Final = 3
_JWT_DOTS: Final = (2, 4)
_LONGEST_NAME: Final = 128

# Each repetition is bounded, so the cost stays linear in the length of the text.
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[^\W\d_]{2,24}(?![\w-])")
_DIGITS: Final = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_IBAN: Final = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![\w-])")
_MIN_IBAN: Final = 15
_PHONE: Final = re.compile(r"(?<![\w+-])\+\d(?:[ ().-]{0,2}\d){7,14}(?![\w-])")
_CARD: Final = re.compile(r"4(\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|6[0245]\d{14}")
_WORD: Final = r"[^\W\d_]{1,40}(?:['’-][^\W\d_]{1,40}){0,3}\.?"
_NAME: Final = re.compile(rf"{_WORD}(?: {_WORD}){{1,5}}")
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_HASH: Final = re.compile(
    r"\$(?:2[abxy]?|argon2(?:id|i|d)|scrypt|pbkdf2(?:-sha\d{1,3})?|[156y]|apr1|7)\$.{8}"
    r"|(?:pbkdf2_sha\d{1,3}|bcrypt(?:_sha256)?|argon2|scrypt|pbkdf2:sha\d{1,3}(?::\d{1,9})?|md5|sha1)\$.{8}"
    r"|\{(?:S?MD5|S?SHA(?:256|384|512)?|CRYPT|PBKDF2)\}.{8}"
)
_KEY: Final = re.compile(
    r"(?<!\w)(?:AKIA[A-Z0-9]{16}|gh[pousr]_\w{30}|github_pat_\w{20}|glpat-[\w-]{16}|[sr]k_live_\w{16}"
    r"|xox[abpr]-[\w-]{10}|AIza[\w-]{30}|npm_\w{30})"
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_PERSONAL: Final = frozenset(
    """name given_name family_name middle_name nickname preferred_username profile picture avatar photo website gender
    sex birthdate birthday address locality first_name last_name full_name display_name user_name username surname
    forename upn unique_name ipaddr ip_address ssn social_security nin nino bsn cpf cnp dni nif curp passport
    personnummer ethnicity religion nationality marital_status salary""".replace("_", "").split()
)
_PERSONAL_LAST: Final = frozenset(
    """email emails email_address mail phone phones phone_number telephone mobile mobile_number street street_address
    date_of_birth dob birth_date home_address postal_address social_security_number passport_number national_id
    national_number tax_id tax_number driver_license driving_licence drivers_license identity_number iban bic
    card_number credit_card account_number""".replace("_", "").split()
)
_SECRET: Final = frozenset({"pin", "otp", "salt", "cookie", "cookies", "credential", "key", "jwt", "hash"})
_SECRET_LAST: Final = frozenset(
    """password passwd passphrase pwd secret secrets token tokens api_key apikey private_key secret_key access_key
    encryption_key signing_key password_hash credentials session_cookie""".replace("_", "").split()
)


def looks_personal(text: str, *, unchecked: bool = False) -> bool:
    """Whether the text holds an e-mail address, a card number, an IBAN or a phone number.

    Without python-stdnum, `unchecked` is the answer for what may be a card number or an IBAN.
    """
    return (
        ("@" in text and _EMAIL.search(text) is not None)
        or _has_payment_number(text, unchecked=unchecked)
        or _PHONE.search(text) is not None
    )


def looks_like_name(text: str) -> bool:
    """Whether the text is written like a person's name: two to six words of letters."""
    return _NAME.fullmatch(text) is not None


def looks_secret(text: str) -> bool:
    """Whether the text holds a JWT, a private key, a marked password hash, or a key of a known provider."""
    return (
        ("eyJ" in text and any(word.count(".") in _JWT_DOTS and word.startswith("eyJ") for word in text.split()))
        or _PEM.search(text) is not None
        or _HASH.match(text) is not None
        or _KEY.search(text) is not None
    )


def looks_like_prose(text: str) -> bool:
    """Whether the text is long and has blanks."""
    return len(text) >= _PROSE and text.count(" ") >= _BLANKS


def is_personal_name(name: str) -> bool:
    """Whether a claim of this name holds personal data: `email`, `user_email`, `givenName`."""
    return _name_matches(name, _PERSONAL, _PERSONAL_LAST)


def is_secret_name(name: str) -> bool:
    """Whether a claim of this name holds a secret: `password`, `dbPassword`, `refresh_token`."""
    return _name_matches(name, _SECRET, _SECRET_LAST)


def display_name(name: str) -> str:
    """A claim's name for a message; only its length if the name is long, or looks like personal data or a secret."""
    # INVARIANT: a message never repeats personal data, so a name that cannot be checked is hidden.
    if len(name) > _LONGEST_NAME or looks_personal(name, unchecked=True) or looks_secret(name):
        return f"({len(name)} characters)"
    return name


def split_words(name: str) -> list[str]:
    """The words of a claim's name in lower case; for a URL, the words after its last slash."""
    last = name[-_LONGEST_NAME:].rpartition("/")[2]
    return [word.lower() for word in _WORDS.findall(last)]


def _name_matches(name: str, whole: frozenset[str], last: frozenset[str]) -> bool:
    """Whether all words of the name stand in `whole`, or its last words stand in `last`."""
    words = split_words(name)
    return "".join(words) in whole or any("".join(words[start:]) in last for start in range(len(words)))


def _has_payment_number(text: str, *, unchecked: bool) -> bool:
    """Whether the text holds a card number or an IBAN; without python-stdnum, `unchecked` where one may be in it."""
    cards = [match[0] for match in _DIGITS.finditer(text)]
    ibans = [match[0] for match in _IBAN.finditer(text)]
    if not (cards or ibans):
        return False
    try:
        # The linter works without this library, and importing it reads files.
        from stdnum import iban, luhn
    except ImportError:
        return unchecked
    # Without the rules of each country, which may refuse the IBAN of a new bank.
    is_valid = partial(iban.is_valid, check_country=False)
    return any(_is_card(text, luhn.is_valid) for text in cards) or any(_is_iban(text, is_valid) for text in ibans)


def _is_card(text: str, is_luhn: Callable[[str], bool]) -> bool:
    # `\d` matches the decimal digits of every script; the check wants those of ASCII.
    digits = "".join(str(int(char)) for char in text if char not in " -")
    return _CARD.fullmatch(digits) is not None and is_luhn(digits)


def _is_iban(text: str, is_valid: Callable[[str], bool]) -> bool:
    letters = text.replace(" ", "")
    # After a blank, another word may follow.
    shortest = _MIN_IBAN if " " in text else len(letters)
    return any(is_valid(letters[:length]) for length in range(shortest, len(letters) + 1))
