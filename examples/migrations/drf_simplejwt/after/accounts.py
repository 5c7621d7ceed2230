"""Users: whose a token is, and what the token of a user may do."""

from django.conf import settings
from django.contrib.auth import get_user_model
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.tokens import RefreshToken

from jwt_lp import Issuer

issuer = Issuer("https://shop.example.com", settings.SIGNING_KEY, audience="orders-api", client="shop")


def permissions_of(user):
    return ["orders:list", "orders:create"] if user.has_perm("auth.add_user") else ["orders:list"]


class OurRefreshToken(RefreshToken):
    """simplejwt's refresh token, which gives access tokens of our own."""

    @property
    def access_token(self):
        user = get_user_model().objects.get(pk=self["user_id"])
        return issuer.issue(str(user.pk), permissions=permissions_of(user))


class ObtainSerializer(TokenObtainPairSerializer):
    token_class = OurRefreshToken


class RefreshSerializer(TokenRefreshSerializer):
    token_class = OurRefreshToken


def user_of(token):
    """The user of a token (LOCAL_USER): the subject is the primary key, for simplejwt's tokens and for ours."""
    return get_user_model().objects.filter(pk=token.subject).first()
