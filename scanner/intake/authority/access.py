"""Let only those in who may: one dependency for each scope.

    async def endpoint(operator: Reader) -> ...

Rules: nothing but a bearer token of an operator opens an endpoint; what is missing is a token (401) or a scope (403),
and no answer says which tokens there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from scanner.intake.api.context import Serving
from scanner.intake.authority.addresses import address_of
from scanner.intake.authority.operators import Operator, Scope, operator_of, unauthorized
from scanner.intake.problems import ProblemError, documented

ANSWERS = documented(
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
)
"""What an endpoint for operators answers besides its own, for OpenAPI."""

BEARER = HTTPBearer(
    scheme_name="operator", description="An operator's token: prescan_<operator id>_<secret>.", auto_error=False
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


async def operator_asking(request: Request, service: Serving, bearer: Bearer) -> Operator:
    """Who asks (a FastAPI dependency).

    Raises:
        ProblemError: 401, 429 or 503.
    """
    address = address_of(request)
    service.limits.check("address", address)
    if bearer is None:
        raise unauthorized()  # asking without a token is no failed login
    return await operator_of(service, bearer.credentials, address=address)


def _with(scope: Scope) -> Callable[[Operator], Awaitable[Operator]]:
    async def allowed(operator: Annotated[Operator, Depends(operator_asking)]) -> Operator:
        if scope not in operator.scopes:
            raise ProblemError(HTTPStatus.FORBIDDEN, "wrong-scope", f"This needs an operator with the scope {scope}")
        return operator

    return allowed


Enroller = Annotated[Operator, Depends(_with(Scope.ENROL))]
Reader = Annotated[Operator, Depends(_with(Scope.READ))]
Exporter = Annotated[Operator, Depends(_with(Scope.EXPORT))]
Reviewer = Annotated[Operator, Depends(_with(Scope.REVIEW))]
Admin = Annotated[Operator, Depends(_with(Scope.ADMIN))]
