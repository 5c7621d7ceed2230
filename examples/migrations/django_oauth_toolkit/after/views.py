"""Views of an orders API."""

from django.http import JsonResponse
from oauth2_provider.contrib.rest_framework import TokenHasScope
from oauth2_provider.decorators import protected_resource
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from jwt_lp import AUTHENTICATED
from jwt_lp_django import public, requires
from jwt_lp_django.drf import HasPermissions


class Orders(APIView):
    permission_classes = [TokenHasScope, HasPermissions.of("orders:list")]
    required_scopes = ["orders:list"]

    def get(self, request):
        return Response({"orders": [7, 8], "for": request.user.username})


class CreateOrder(APIView):
    permission_classes = [TokenHasScope, HasPermissions.of("orders:list", "orders:create")]
    required_scopes = ["orders:list", "orders:create"]

    def post(self, request):
        return Response({"created": True}, status=201)


class Me(APIView):
    permission_classes = [IsAuthenticated, HasPermissions.of(AUTHENTICATED)]

    def get(self, request):
        return Response({"me": request.user.username})


@requires("reports:read")
@protected_resource(scopes=["reports:read"])
def report(request):
    return JsonResponse({"report": []})


@public
def health(request):
    return JsonResponse({"ok": True})


def export(request):
    # Nobody thought of the decorator here, so everybody may call it.
    return JsonResponse({"orders": [7, 8]})
