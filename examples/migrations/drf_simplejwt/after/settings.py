"""Settings of an orders API."""

import json
import os
from base64 import urlsafe_b64encode

from jwt_lp import SigningKey

ROOT_URLCONF = "urls"
SECRET_KEY = os.environ["SECRET_KEY"]
SIGNING_KEY = SigningKey.from_jwk(json.loads(os.environ["SIGNING_KEY"]))
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "jwt_lp_django",
]
MIDDLEWARE = [
    "jwt_lp_django.middleware.LeastPrivilegeMiddleware",
    "django.middleware.common.CommonMiddleware",
]
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "TOKEN_OBTAIN_SERIALIZER": "accounts.ObtainSerializer",
    "TOKEN_REFRESH_SERIALIZER": "accounts.RefreshSerializer",
}
JWT_LP = {
    "ISSUERS": {
        # our own tokens, from now on
        "shop": {
            "ISSUER": "https://shop.example.com",
            "AUDIENCE": "orders-api",
            "ALGORITHMS": ["ES256"],
            "JWKS": {"keys": [SIGNING_KEY.public_jwk()]},
            "OWN": True,
            "CEILING": ["orders:**"],
        },
        # access tokens from before, until the last one has expired: each may do what all could
        "before": {
            "ISSUER": "simplejwt",
            "AUDIENCE": "simplejwt",
            "ALGORITHMS": ["HS256"],
            "JWKS": {"kty": "oct", "alg": "HS256", "k": urlsafe_b64encode(SECRET_KEY.encode()).rstrip(b"=").decode()},
            "PROFILE": {"BASE": "simplejwt", "ROLES": ["token_type"]},
            "ABSENT_CLAIMS": ["iss", "aud"],
            "CEILING": ["orders:**"],
        },
    },
    "POLICY": {"version": 1, "roles": {"before": {"grants": ["orders:**"], "from": ["before/token_type:access"]}}},
    # request.user is the user of the database, as before
    "LOCAL_USER": "accounts.user_of",
    # counts who uses which grant of which issuer
    "STORE": os.environ["STORE"],
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["jwt_lp_django.drf.JWTAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
