"""The paths of the API."""

from django.urls import include, path

import views
from jwt_lp_django import external, guarded

urlpatterns = [
    path("o/", guarded(include("oauth2_provider.urls", namespace="oauth2_provider"), external("django-oauth-toolkit checks clients and sessions"))),
    path("health", views.health),
    path("me", views.Me.as_view()),
    path("orders", views.Orders.as_view()),
    path("orders/new", views.CreateOrder.as_view()),
    path("report", views.report),
    path("export", views.export),
]
