"""Views of an orders API."""

from rest_framework.decorators import api_view, permission_classes
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet
from jwt_lp import AUTHENTICATED
from jwt_lp_django import public
from jwt_lp_django.drf import HasPermissions, LeastPrivilegeMixin


class Orders(LeastPrivilegeMixin, ViewSet):
    required_permissions = {"list": "orders:list", "create": "orders:create"}

    def list(self, request):
        return Response({"orders": [7, 8], "for": request.user.username})

    def create(self, request):
        return Response({"created": True}, status=201)


@api_view(["GET"])
@permission_classes([HasPermissions.of(AUTHENTICATED)])
def me(request):
    return Response({"me": request.user.username})


@public
@api_view(["GET"])
def health(request):
    return Response({"ok": True})


@api_view(["GET"])
def export(request):
    # Nobody thought of the permission class here, so everybody may call it.
    return Response({"orders": [7, 8]})
