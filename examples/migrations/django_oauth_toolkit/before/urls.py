"""The paths of the API."""

from django.urls import include, path

import views

urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("health", views.health),
    path("me", views.Me.as_view()),
    path("orders", views.Orders.as_view()),
    path("orders/new", views.CreateOrder.as_view()),
    path("report", views.report),
    path("export", views.export),
]
