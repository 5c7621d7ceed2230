"""Settings of an orders API."""

import json
import os

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
    "oauth2_provider",
    "rest_framework",
    "jwt_lp_django",
]
MIDDLEWARE = [
    "jwt_lp_django.middleware.LeastPrivilegeMiddleware",
    "django.middleware.common.CommonMiddleware",
]
OAUTH2_PROVIDER = {
    "ACCESS_TOKEN_GENERATOR": "tokens.access_token",
    "ACCESS_TOKEN_EXPIRE_SECONDS": 900,
    "REFRESH_TOKEN_GENERATOR": "oauthlib.oauth2.rfc6749.tokens.random_token_generator",
    "SCOPES": {"orders:list": "List orders", "orders:create": "Create orders", "reports:read": "Read reports"},
}
JWT_LP = {
    "ISSUER": "https://shop.example.com",
    "AUDIENCE": "orders-api",
    "ALGORITHMS": ["ES256"],
    "JWKS": {"keys": [SIGNING_KEY.public_jwk()]},
    "OWN": True,
    "STORE": os.environ["STORE"],
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["oauth2_provider.contrib.rest_framework.OAuth2Authentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
