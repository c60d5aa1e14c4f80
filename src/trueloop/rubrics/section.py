"""What the sections of a policy have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of a policy document. Immutable; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
