"""Access tokens of django-oauth-toolkit, as JWTs (ACCESS_TOKEN_GENERATOR)."""

from django.conf import settings

from jwt_lp import Issuer

issuer = Issuer("https://shop.example.com", settings.SIGNING_KEY, audience="orders-api")


def access_token(request, refresh_token=False):
    """A token for the user, or for the client itself where there is no user (client credentials)."""
    client = request.client.client_id
    subject = str(request.user.pk) if request.user else client
    return issuer.issue(subject, permissions=request.scopes, client=client, lifetime=request.expires_in)
