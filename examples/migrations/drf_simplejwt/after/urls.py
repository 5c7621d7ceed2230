"""The paths of the API."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

import views
from jwt_lp_django import external

router = SimpleRouter(trailing_slash=False)
router.register("orders", views.Orders, basename="order")

urlpatterns = [
    path("token", external("simplejwt checks the password or the refresh token")(TokenObtainPairView.as_view())),
    path("token/refresh", external("simplejwt checks the password or the refresh token")(TokenRefreshView.as_view())),
    path("health", views.health),
    path("me", views.me),
    path("export", views.export),
    path("", include(router.urls)),
]
