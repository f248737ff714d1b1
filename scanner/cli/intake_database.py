"""Which database a command of the intake works on."""

from __future__ import annotations

from typing import Annotated

import typer

Database = Annotated[
    str, typer.Option("--database", "-d", help="sqlite:///FILE or postgresql://…", envvar="PRESCAN_INTAKE_DATABASE")
]
DEFAULT_DATABASE = "sqlite:///intake.db"
