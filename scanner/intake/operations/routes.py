"""The name of a request's route: the template it matched, never the path it came by."""

from __future__ import annotations

from starlette.types import Scope

from scanner.intake.operations.logs import METHODS, NO_ROUTE, OTHER_METHOD


def route_of(scope: Scope, mounts: frozenset[str] = frozenset()) -> str:
    """Name the route, after the app has served the request.

    Args:
        scope: the request's; Starlette and FastAPI leave the matched route in it.
        mounts: prefixes at which other apps are mounted, such as ``/console``; constant, without parameters.

    Returns:
        a template such as ``/v1/devices/{device}``, or ``(none)`` when nothing matched or it was in an unknown mount.
    """
    inner = scope.get("fastapi") or {}
    template = getattr(inner.get("effective_route_context"), "path_format", None)  # routers within routers
    if template is None:
        template = getattr(scope.get("route"), "path_format", None)
    if not isinstance(template, str):
        return NO_ROUTE
    prefix = scope.get("root_path", "")[len(scope.get("app_root_path", scope.get("root_path", ""))) :]
    if not prefix:
        return template
    return prefix + template if prefix in mounts else NO_ROUTE


def method_of(scope: Scope) -> str:
    """Name the method; those we never use are one, so that nobody makes endless names."""
    method = scope["method"]
    return method if method in METHODS else OTHER_METHOD
