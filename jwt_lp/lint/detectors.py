"""What does this look like: somebody's data, a secret, prose?

Guesses, made to be wrong rarely: a number counts when its check digits do. Nothing here keeps or returns a text.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

_PROSE: Final = 64
_BLANKS: Final = 3
_JWT_DOTS: Final = (2, 4)
_LONGEST_NAME: Final = 128

# Each repetition has an end, so that no text costs more than its length.
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[^\W\d_]{2,24}(?![\w-])")
_DIGITS: Final = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_IBAN: Final = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![\w-])")
_IBANS: Final = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22
GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24 ME22
MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 TL23 TN24 TR26 UA29 VA22
VG24 XK20
"""
_IBAN_LENGTHS: Final = MappingProxyType({each[:2]: int(each[2:]) for each in _IBANS.split()})
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


def looks_personal(text: str) -> bool:
    """Whether it holds an e-mail address, a card's number, an IBAN or a phone number."""
    return (
        ("@" in text and _EMAIL.search(text) is not None)
        or any(_is_card(found[0]) for found in _DIGITS.finditer(text))
        or any(_is_iban(found[0]) for found in _IBAN.finditer(text))
        or _PHONE.search(text) is not None
    )


def looks_like_name(text: str) -> bool:
    """Whether it is written as people's names are: a few words of letters."""
    return _NAME.fullmatch(text) is not None


def looks_secret(text: str) -> bool:
    """Whether it holds a JWT, a private key, a password's hash with its mark, or a key of a known provider."""
    return (
        ("eyJ" in text and any(each.count(".") in _JWT_DOTS and each.startswith("eyJ") for each in text.split()))
        or _PEM.search(text) is not None
        or _HASH.match(text) is not None
        or _KEY.search(text) is not None
    )


def looks_like_prose(text: str) -> bool:
    """Whether it is long and has blanks."""
    return len(text) >= _PROSE and text.count(" ") >= _BLANKS


def is_personal_name(name: str) -> bool:
    """Whether a claim of this name holds personal data: `email`, `user_email`, `givenName`."""
    return _name_matches(name, _PERSONAL, _PERSONAL_LAST)


def is_secret_name(name: str) -> bool:
    """Whether a claim of this name holds a secret: `password`, `dbPassword`, `refresh_token`."""
    return _name_matches(name, _SECRET, _SECRET_LAST)


def display_name(name: str) -> str:
    """A claim's name for a message; how long it is, where the name is long or itself looks like what it may not be."""
    if len(name) > _LONGEST_NAME or looks_personal(name) or looks_secret(name):
        return f"({len(name)} characters)"
    return name


def split_words(name: str) -> list[str]:
    """The words of a claim's name, lower case; of a name that is an address, those after the last slash."""
    last = name[-_LONGEST_NAME:].rpartition("/")[2]
    return [each.lower() for each in _WORDS.findall(last)]


def _name_matches(name: str, whole: frozenset[str], last: frozenset[str]) -> bool:
    said = split_words(name)
    return "".join(said) in whole or any("".join(said[at:]) in last for at in range(len(said)))


def _is_card(text: str) -> bool:
    digits = text.replace(" ", "").replace("-", "")
    return _CARD.fullmatch(digits) is not None and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = (int(each) * 2 for each in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(each - 9 * (each > 9) for each in doubled)) % 10 == 0  # noqa: PLR2004 - as Luhn has it


def _is_iban(text: str) -> bool:
    letters = text.replace(" ", "")
    length = _IBAN_LENGTHS.get(letters[:2], 0)
    # What follows a blank may be another word.
    if len(letters) != length and (" " not in text or len(letters) < length):
        return False
    # ISO 13616: what stands in front goes to the end, letters are numbers from 10 on.
    moved = letters[4:length] + letters[:4]
    return int("".join(str(int(each, 36)) for each in moved)) % 97 == 1
